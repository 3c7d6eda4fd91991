r"""How far our perturbations distort a picture, beside ImageNet-C's at the same severity.

Run from the repository root:

    python benchmarks/perturbation_severity.py            # the figures of the book
    python benchmarks/perturbation_severity.py --quick    # two pictures only

For each perturbation and severity: mean SSIM and PSNR against the clean picture, over pictures of
224 pixels (drawn streets, and photographs that scikit-image carries), and ours at 96 pixels too.
Theirs come from the package imagecorruptions, which needs an environment of its own; without it
that part is left out:

    python3.11 -m venv build/peers/imagecorruptions
    build/peers/imagecorruptions/bin/pip install numpy==1.26.4 scipy==1.13.1 \
        scikit-image==0.22.0 opencv-python-headless==4.10.0.84 "setuptools<80" pillow
    build/peers/imagecorruptions/bin/pip install --no-deps imagecorruptions==1.1.2
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common.figures import record_path, save, stamp
from common.peers import run_peer
from skimage import data as photographs
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from skimage.transform import resize
from tqdm import tqdm

from helpers.data.aerial_drawn import draw
from helpers.robustness.perturbations import PERTURBATIONS, perturb

ROOT = Path(__file__).parents[1]
PEER_PYTHON = ROOT / "build" / "peers" / "imagecorruptions" / "bin" / "python"
PEER = ROOT / "benchmarks" / "peers" / "imagecorruptions_distort.py"
# Ours, and what it is compared with there. low_light darkens too, so it is not the same thing.
THEIRS = {
    "motion_blur": "motion_blur",
    "defocus": "defocus_blur",
    "fog": "fog",
    "jpeg": "jpeg_compression",
    "low_light": "shot_noise",
}
NUM_DRAWN = 8


def pictures(side: int) -> np.ndarray:
    """Return float32 ``(n, side, side, 3)``: the same views at every size."""
    drawn = [draw(224, np.random.default_rng([0, i]))[0] for i in range(NUM_DRAWN)]
    squares = []
    for name in ("astronaut", "chelsea", "coffee", "rocket"):
        photograph = getattr(photographs, name)() / 255.0
        edge = min(photograph.shape[:2])
        top, left = ((length - edge) // 2 for length in photograph.shape[:2])
        squares.append(photograph[top : top + edge, left : left + edge])
    views = [
        resize(view, (side, side, 3), anti_aliasing=True) if view.shape[0] != side else view
        for view in (*drawn, *squares)
    ]
    return np.clip(np.stack(views), 0, 1).astype(np.float32)


def distortion(clean: np.ndarray, spoilt: np.ndarray) -> dict[str, float]:
    """Return mean SSIM and PSNR (decibels) over pairs of pictures."""
    pairs = list(zip(clean, spoilt, strict=True))
    ssim = [structural_similarity(a, b, channel_axis=2, data_range=1) for a, b in pairs]
    psnr = [peak_signal_noise_ratio(a, b, data_range=1) for a, b in pairs]
    return {"ssim": round(float(np.mean(ssim)), 4), "psnr": round(float(np.mean(psnr)), 2)}


def ours(images: np.ndarray) -> dict[str, list[dict[str, float]]]:
    """Return our distortions, five severities a perturbation."""
    shares = np.array([[0.3, 0.3, 0.7, 0.5], [0.55, 0.6, 0.8, 0.9]])
    boxes = shares * float(images.shape[1])
    found: dict[str, list[dict[str, float]]] = {}
    for name in tqdm(PERTURBATIONS, desc=f"ours at {images.shape[1]}"):
        found[name] = []
        for severity in range(1, 6):
            spoilt = [
                perturb(image, name, severity, np.random.default_rng([1, i]), boxes).image
                for i, image in enumerate(images)
            ]
            found[name].append(distortion(images, np.stack(spoilt)))
    return found


def theirs(images: np.ndarray) -> dict[str, list[dict[str, float]]]:
    """Return imagecorruptions' distortions; empty where it is not installed."""
    if not PEER_PYTHON.exists():
        print("imagecorruptions is not installed: see the top of this file.", file=sys.stderr)
        return {}
    with tempfile.TemporaryDirectory() as folder:
        given, taken = Path(folder) / "in.npz", Path(folder) / "out.npz"
        names = sorted(set(THEIRS.values()))
        np.savez(given, images=np.rint(images * 255).astype(np.uint8), names=np.array(names))
        run_peer(PEER_PYTHON, PEER, [str(given), str(taken)], timeout=1200)
        with np.load(taken) as distorted:
            return {
                name: [distortion(images, level.astype(np.float32) / 255) for level in levels]
                for name, levels in distorted.items()
            }


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description="How far perturbations distort a picture.")
    parser.add_argument("--quick", action="store_true", help="two pictures only")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    before = os.getloadavg()[0]
    shown = slice(0, NUM_DRAWN + 1, NUM_DRAWN) if options.quick else slice(None)  # one of each kind
    images = pictures(224)[shown]
    by_size = {"224": ours(images), "96": ours(pictures(96)[shown])}
    peer = theirs(images)
    result: dict[str, Any] = {
        **stamp(__file__, before, "numpy", "scipy", "scikit-image", "pillow"),
        "pictures": "one drawn street, one photograph"
        if options.quick
        else f"{NUM_DRAWN} drawn streets, {len(images) - NUM_DRAWN} photographs",
        "ours": by_size,
        "imagecorruptions": {name: peer[other] for name, other in THEIRS.items() if peer},
    }
    save(options.out or record_path(__file__, options.quick), result, report(result))


def report(result: dict[str, Any]) -> str:
    """Lay ours beside theirs as text."""
    lines = []
    for name, levels in result["imagecorruptions"].items():
        ours_here = result["ours"]["224"][name]
        for severity, (mine, other) in enumerate(zip(ours_here, levels, strict=True), 1):
            lines.append(
                f"{name:12} {severity}  SSIM {mine['ssim']:.3f} / {other['ssim']:.3f}  "
                f"PSNR {mine['psnr']:.1f} / {other['psnr']:.1f} dB"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
