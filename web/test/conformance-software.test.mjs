import { testReferenceFiles } from './conformance.mjs';

testReferenceFiles('Software');
