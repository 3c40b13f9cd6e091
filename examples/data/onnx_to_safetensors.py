"""Writes ppocr_cls.safetensors: the weights of a text-direction classifier, taken from an ONNX file, and what ONNX Runtime
computes with it from the handwritten digits of this folder. README.md says where the ONNX file comes from.

    python3 onnx_to_safetensors.py ch_ppocr_mobile_v2.0_cls_infer.onnx

Needs numpy and onnxruntime.
"""
import pathlib
import struct
import sys

import numpy as np
import onnxruntime

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE / "../../tests/data/scripts"))
import st_write  # noqa: E402


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def fields(data):
    """The fields of a protocol buffer message: (number, int or bytes)."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        else:
            if key & 7 == 2:
                length, at = varint(data, at)
            else:
                length = {1: 8, 5: 4}[key & 7]
            value = data[at : at + length]
            at += length
        yield key >> 3, value


def tensor(data):
    """An ONNX TensorProto of float32 as an array; None for other types."""
    shape, dtype, raw = [], 0, b""
    for number, value in fields(data):
        if number == 1:
            if isinstance(value, int):
                shape.append(value)
            else:
                at = 0
                while at < len(value):
                    size, at = varint(value, at)
                    shape.append(size)
        elif number == 2:
            dtype = value
        elif number in (4, 9):
            raw += value
    return np.frombuffer(raw, "<f4").reshape(shape) if dtype == 1 else None


def constants(model):
    """The float32 constants of an ONNX model, by name."""
    found = {}
    graph = next(value for number, value in fields(model) if number == 7)
    for node in (value for number, value in fields(graph) if number == 1):
        parts = list(fields(node))
        if (4, b"Constant") in parts:
            name = next(value.decode() for number, value in parts if number == 2)
            for attribute in (value for number, value in parts if number == 5):
                for number, value in fields(attribute):
                    if number == 5:
                        found[name] = tensor(value)
    return {name: value for name, value in found.items() if value is not None}


def images():
    """Four digits each in an image of 48 × 192, dark on light: two upright ones, then the same upside down."""
    digits = np.fromfile(HERE / "digits_images.u8", np.uint8).reshape(-1, 8, 8)[:8]
    rows = digits.reshape(2, 4, 8, 8).transpose(0, 2, 1, 3).reshape(2, 8, 32)
    rows = 1 - rows.repeat(6, axis=1).repeat(6, axis=2).astype(np.float32) / 8
    rows = np.repeat(rows[:, None], 3, axis=1)
    return np.concatenate([rows, rows[:, :, ::-1, ::-1]])


path = sys.argv[1]
weights = {name: value for name, value in constants(pathlib.Path(path).read_bytes()).items() if value.size > 1}
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
(expected,) = session.run(None, {session.get_inputs()[0].name: images()})
print(f"{len(weights)} tensors, expected output:\n{expected}")
metadata = {"source": "Python package rapidocr-onnxruntime 1.4.4, ch_ppocr_mobile_v2.0_cls_infer.onnx", "licence": "Apache-2.0"}
print(st_write.save(HERE / "ppocr_cls.safetensors", weights | {"expected": expected}, metadata))
