"""Distort pictures with the imagecorruptions package, in an environment of its own.

    imagecorruptions_distort.py IN.npz OUT.npz

``IN.npz`` holds ``images`` uint8 ``(n, 224, 224, 3)`` and ``names``; ``OUT.npz`` gets one array a
name, uint8 ``(5, n, 224, 224, 3)``.
"""

import json
import sys
import warnings

import numpy as np

warnings.simplefilter("ignore")  # it imports SciPy and pkg_resources by names that are deprecated
from imagecorruptions import corrupt  # noqa: E402

with np.load(sys.argv[1]) as given:
    images, names = given["images"], [str(name) for name in given["names"]]
distorted = {}
for name in names:
    np.random.seed(0)  # noqa: NPY002  (the package draws from the global generator)
    distorted[name] = np.stack(
        [
            [corrupt(image, corruption_name=name, severity=severity) for image in images]
            for severity in range(1, 6)
        ]
    )
np.savez(sys.argv[2], **distorted)
print(json.dumps({"names": names}))
