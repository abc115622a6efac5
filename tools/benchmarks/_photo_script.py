"""The baseline of ``benchmark photo``: read, run a network whole, write."""

from __future__ import annotations

import os
import sys

import cv2
import ncnn
import numpy as np

param, model, photo, out = sys.argv[1:]
net = ncnn.Net()
net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
net.opt.num_threads = int(os.environ.get("OMP_NUM_THREADS") or net.opt.num_threads)
net.load_param(param)
net.load_model(model)
x = cv2.imread(photo)[..., ::-1].astype(np.float32).transpose(2, 0, 1) / 255
extractor = net.create_extractor()
extractor.input("in", ncnn.Mat(np.ascontiguousarray(x)).clone())
y = np.asarray(extractor.extract("out")[1])
result = (y.clip(0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)
cv2.imwrite(out, np.ascontiguousarray(result[..., ::-1]))
