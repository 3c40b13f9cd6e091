#!/usr/bin/env python3
"""Writes trained.pt: a state_dict of nn.Sequential(Linear(3, 3), BatchNorm1d(3)) as torch.save writes it (a ZIP archive
of a pickle of protocol 2 and one file for each storage), without PyTorch.

    python3 write_pt.py
"""
import collections
import os
import pickle
import struct
import sys
import types
import zipfile


def module(name):
    sys.modules[name] = types.ModuleType(name)
    return sys.modules[name]


torch, utils = module("torch"), module("torch._utils")
for name in ("FloatStorage", "LongStorage"):
    setattr(torch, name, type(name, (), {"__module__": "torch", "__qualname__": name}))


def _rebuild_tensor_v2(*_):
    raise NotImplementedError("torch has it")


_rebuild_tensor_v2.__module__ = "torch._utils"
utils._rebuild_tensor_v2 = _rebuild_tensor_v2

STATE = {
    "0.weight": ((3, 3), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]),
    "0.bias": ((3,), [0.0, 0.0, 0.0]),
    "1.weight": ((3,), [1.5, -2.0, 0.25]),
    "1.bias": ((3,), [0.5, 3.0, -1.25]),
    "1.running_mean": ((3,), [10.0, -4.5, 0.125]),
    "1.running_var": ((3,), [2.0, 0.75, 9.0]),
    "1.num_batches_tracked": ((), [7]),
}


class Tensor:
    def __init__(self, key, shape, values):
        self.key, self.shape, self.values = key, shape, values

    def storage(self):
        kind = torch.LongStorage if isinstance(self.values[0], int) else torch.FloatStorage
        return Storage(("storage", kind, self.key, "cpu", len(self.values)))

    def __reduce__(self):
        strides = {0: (), 1: (1,), 2: (self.shape[-1] if self.shape else 1, 1)}[len(self.shape)]
        hooks = collections.OrderedDict()
        return _rebuild_tensor_v2, (self.storage(), 0, self.shape, strides, False, hooks)

    def bytes(self):
        code = "q" if isinstance(self.values[0], int) else "f"
        return struct.pack(f"<{len(self.values)}{code}", *self.values)


class Storage:
    def __init__(self, key):
        self.key = key


class Pickler(pickle.Pickler):
    def persistent_id(self, item):
        return item.key if isinstance(item, Storage) else None


def main():
    tensors = [Tensor(str(i), *state) for i, state in enumerate(STATE.values())]
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "trained.pt")
    with zipfile.ZipFile(path, "w") as archive:
        def write(name, data):
            archive.writestr(zipfile.ZipInfo(f"trained/{name}"), data)

        with archive.open(zipfile.ZipInfo("trained/data.pkl"), "w") as file:
            Pickler(file, 2).dump(collections.OrderedDict(zip(STATE, tensors)))
        write("byteorder", "little")
        for tensor in tensors:
            write(f"data/{tensor.key}", tensor.bytes())
        write("version", "3\n")


main()
