"""A single-shot detector for small devices: anchors, network, training, scores.

The network gives raw numbers for a fixed grid of anchor boxes, and that is all that is in the file
that ships. Turning them into boxes (:func:`decode_predictions`) runs after it, in NumPy: overlaps
are compared and boxes sorted out one by one, with as many results as the picture holds, which an
int8 graph of fixed shapes cannot express without operators that quantise badly or that a runtime
lacks. It takes well under a millisecond.

>>> from helpers import data
>>> from helpers.robustness import detection
>>> scenes = data.aerial_scenes(num_train=600)
>>> detector = detection.Detector(detection.build_ssd(2), scenes.class_names)
>>> detection.train_detector(detector.model, scenes.train, epochs=40)
>>> found = detector.detect(scenes.test.images)
>>> detection.coco_map(detection.truths(scenes.test), found).map50
"""

from helpers.robustness.detection.anchors import Matched, match_anchors, ssd_anchors
from helpers.robustness.detection.augmentation import Augmentation
from helpers.robustness.detection.boxes import (
    Detections,
    Truth,
    box_area,
    decode_boxes,
    encode_boxes,
    iou,
    non_maximum_suppression,
)
from helpers.robustness.detection.decoding import decode_predictions
from helpers.robustness.detection.detector import Detector, PretrainedName, pretrained, truths
from helpers.robustness.detection.filters import FILTERS, median, stretch_contrast
from helpers.robustness.detection.intervals import Interval, map50_interval
from helpers.robustness.detection.metrics import CocoScores, coco_map
from helpers.robustness.detection.ssd import build_ssd
from helpers.robustness.detection.training import EpochRecord, train_detector
from helpers.robustness.detection.voc import voc_map

__all__ = [
    "FILTERS",
    "Augmentation",
    "CocoScores",
    "Detections",
    "Detector",
    "EpochRecord",
    "Interval",
    "Matched",
    "PretrainedName",
    "Truth",
    "box_area",
    "build_ssd",
    "coco_map",
    "decode_boxes",
    "decode_predictions",
    "encode_boxes",
    "iou",
    "map50_interval",
    "match_anchors",
    "median",
    "non_maximum_suppression",
    "pretrained",
    "ssd_anchors",
    "stretch_contrast",
    "train_detector",
    "truths",
    "voc_map",
]
