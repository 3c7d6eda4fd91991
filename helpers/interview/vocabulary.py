"""The words of the question bank: levels, formats and topics."""

from __future__ import annotations

# From the first job to the one who decides for a product.
LEVELS = ("junior", "mid", "senior", "principal")

# format -> what the candidate does
FORMATS = {
    "explain": "Explain it in your own words.",
    "design": "Design it, and defend the choices.",
    "debug": "Find what is wrong, and show how you know.",
    "numeric": "Work out a number.",
    "choice": "Choose one answer.",
    "select-the-threats": "Tick every threat that is real here, and no other.",
    "code": "Write a short function.",
}
# Scored by machine; the others are prose, and the candidate ticks a rubric.
MACHINE_SCORED = ("numeric", "choice", "select-the-threats", "code")

# topic -> its title; also the folder of its questions
TOPICS = {
    "federated-learning": "Federated learning",
    "differential-privacy": "Differential privacy",
    "data-access": "Data access by request",
    "byzantine-robustness": "Byzantine robustness and secure aggregation",
    "secure-transport": "Secure transport and zero trust",
    "threat-modelling": "Threat modelling",
    "model-protection": "Protecting the model on the device",
    "privacy-leakage": "What a model gives away",
    "watermarking": "Watermarks and ownership",
    "robustness": "Robustness of models",
    "certification": "Guarantees and certificates",
    "edge-deployment": "Deployment on the edge",
}

# topic -> the chapter that teaches it, where that is not named like the topic. A question may link
# to no chapter only as long as its topic has none.
CHAPTERS = {
    "data-access": "data-access-by-request",
    "model-protection": "model-on-the-device",
    "edge-deployment": "model-on-the-device",
    "certification": "certified-robustness",
    "privacy-leakage": "quantization-privacy",
    "robustness": "attacks-on-edge-models",
}
