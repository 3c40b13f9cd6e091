import { testReferenceFiles } from './conformance.mjs';

testReferenceFiles('Gpu');
