"""Further cases of ``unchanged.py``: volumes, simulated data, networks, the positional bias, a real micrograph."""

from __future__ import annotations

import shutil
from functools import partial
from typing import Any

import imageio.v3 as imageio
import numpy as np
from machine import data_folder
from unchanged_cases import CASES, NAMES, VIT, Skipped, Workshop, blobs, call, case, means, write
from unchanged_digests import of_folder

PHASES = "pore,ISE,CAM"

# --- metrology -------------------------------------------------------------------------------------------------------


def measured(shop: Workshop, *, flat: bool = False, **options: Any) -> dict[str, str]:
    out = shop.out()
    call("measure", shop.plane() if flat else shop.volume(), out=out, **{"classes": PHASES, **options})
    return of_folder(out)


CASES |= {
    "measure volume": partial(measured, metrics="all", conductivities="ISE=1.2,CAM=0.01,pore=0"),
    "measure plane": partial(measured, flat=True, metrics="all"),
    "measure background": partial(
        measured, metrics="fractions,sizes,connectivity", background="0", axes="z", classes="ISE,CAM"
    ),
    "measure marching cubes": partial(measured, metrics="surface", surface="marching-cubes", voxel_size="50,20,20 nm"),
    "measure intercepts": partial(measured, metrics="surface,chords", surface="intercepts", confidence=0.9),
}

# --- reconstruction and super-resolution -----------------------------------------------------------------------------


def reconstructed(shop: Workshop, planes: int = 1, **options: Any) -> dict[str, str]:
    out = shop.out()
    given = {"volume_size": "32", "classes": PHASES, "slices_per_step": 2, "device": "cpu", **options}
    call("reconstruct", [shop.plane(number) for number in range(planes)], out=out, **given)
    return of_folder(out)


CASES |= {
    "reconstruct patches": partial(reconstructed, loss="patches", steps=8),
    "reconstruct vgg19": partial(reconstructed, loss="vgg19", steps=4),
    "reconstruct both": partial(reconstructed, loss="both", steps=4, periodic=True, seed=5),
    "reconstruct planes": partial(
        reconstructed, planes=3, loss="patches", steps=8, volume_size="24,28,32", separate=False
    ),
}


def coarse_file(shop: Workshop, kind: str) -> Any:
    """What a coarse volume shows of 32 x 32 x 32 voxels at factor 4: the phase CAM."""
    share = means(blobs((32, 32, 32)) == 2)
    noise = np.random.default_rng(4).normal(0, 0.04, share.shape)
    values = {
        "labels": (share >= 0.5).astype(np.uint8),
        "probabilities": share.astype(np.float32),
        "grey": np.clip(60 + 120 * (share + noise), 0, 255).astype(np.uint8),
    }[kind]
    return shop.once(f"coarse {kind}.tif", lambda path: write(path, values, nm=200))


def superresolved(shop: Workshop, kind: str = "labels", **options: Any) -> dict[str, str]:
    out, given = shop.out(), {"classes": PHASES, "visible": "CAM", "factor": 4, "device": "cpu"}
    given |= {"coarse_as": kind, "trust": "slices"} | ({"coarse_classes": "rest,CAM"} if kind == "labels" else {})
    call("superresolve", coarse_file(shop, kind), micrographs=[shop.plane()], out=out, **{**given, **options})
    return of_folder(out)


CASES |= {
    "superresolve labels": partial(superresolved, loss="patches", steps=8, slices_per_step=2),
    "superresolve probabilities": partial(
        superresolved, kind="probabilities", loss="patches", steps=6, slices_per_step=2, samples=2
    ),
    "superresolve grey": partial(superresolved, kind="grey", loss="both", steps=3, slices_per_step=2),
}


@case("superresolve gan")
def _gan(shop: Workshop) -> dict[str, str]:
    model, again = shop.out(), shop.out()
    given = {"method": "gan", "coarse_classes": "rest,CAM", "device": "cpu"}
    found = superresolved(shop, method="gan", train=True, out_model=model, training_steps=2)
    call("superresolve", coarse_file(shop, "labels"), model=model, out=again, seed=1, **given)
    return found | {f"again {place}": digest for place, digest in (of_folder(model) | of_folder(again)).items()}


# --- simulated data and networks -------------------------------------------------------------------------------------


def simulated(shop: Workshop, preset: str, **options: Any) -> dict[str, str]:
    out = shop.out()
    call("simulate", material=preset, out=out, **{"count": 2, "size": 96, "seed": 1, "workers": 1, **options})
    return of_folder(out)


CASES |= {
    f"simulate {name}": partial(simulated, preset=name)
    for name in ("generic", "si-li6ps5cl-vgcf", "ncm-li3ps4", "licoo2")
}
CASES["simulate processes"] = partial(simulated, preset="generic", count=4, workers=2, seed=2)


def diverse(shop: Workshop, encoder: str) -> dict[str, str]:
    out, real = shop.out(), [shop.image(128), shop.image(128, seed=1)]
    call("diversity", shop.dataset(), real=real, out=out, max_images=6, encoder=encoder, databar="0")
    return of_folder(out)


CASES |= {"diversity": partial(diverse, encoder=VIT), "diversity without ViT": partial(diverse, encoder="none")}


@case("train_network")
def _trained(shop: Workshop) -> dict[str, str]:
    return of_folder(shop.network())


@case("train_network encoder")
def _trained_encoder(shop: Workshop) -> dict[str, str]:
    out = shop.out()
    given = {"unet_encoder": "resnet18", "pretrained": "no", "steps": 2, "crop": 64, "batch": 2, "device": "cpu"}
    given["merge"] = "pore=ISE"
    call("train_network", shop.dataset(), out=out, **given)
    return of_folder(out)


def by_network(shop: Workshop, **options: Any) -> dict[str, str]:
    out = shop.out()
    given = {"bse": shop.image(128), "databar": "0", "device": "cpu", **options}
    call("segment_network", shop.network(), out=out, **given)
    return of_folder(out)


@case("segment_network")
def _by_network(shop: Workshop) -> dict[str, str]:
    return by_network(shop, se=shop.image(128, detector="SE", shift=3), mode_filter=1)


@case("segment_network variants")
def _by_network_variants(shop: Workshop) -> dict[str, str]:
    one = by_network(shop, flips=True, rescale=True)
    two = by_network(shop, se=shop.stack("SE"), bse=shop.stack(), align=False)
    return {f"flips {k}": v for k, v in one.items()} | {f"stack {k}": v for k, v in two.items()}


def tuned(shop: Workshop, replay: bool) -> dict[str, str]:
    out = shop.out()
    given = {"bse": shop.image(128), "se": shop.image(128, detector="SE"), "labels": shop.strokes(128)}
    given |= {"classes": NAMES, "steps": 4, "rate": 0.01, "databar": "0", "device": "cpu"}
    call("fine_tune_network", shop.network(), out=out, **given, **({"replay": shop.dataset()} if replay else {}))
    return of_folder(out)


CASES |= {"fine_tune_network": partial(tuned, replay=False), "fine_tune_network replay": partial(tuned, replay=True)}

# --- the ViT ---------------------------------------------------------------------------------------------------------


def upsampler(shop: Workshop, target: str) -> dict[str, str]:
    def gather(folder: Any) -> None:
        folder.mkdir()
        for seed in (0, 1):
            shutil.copy(shop.image(160, seed=seed), folder)

    out = shop.out()
    given = {"encoder": VIT, "block": 6, "target": target, "crops": 8, "crop": 112, "steps": 6, "databar": "0"}
    call("train_upsampler", shop.once("images", gather), out=out, **given)
    return of_folder(out)


CASES |= {f"train_upsampler {name}": partial(upsampler, target=name) for name in ("enlarged", "strided")}


@case("bias")
def _bias(shop: Workshop) -> dict[str, str]:
    out = shop.out()
    given = {"preset": "fast", "candidates": "mean,flips,distilled", "encoder": VIT, "databar": "0"}
    call("bias", [shop.image(192), shop.image(192, seed=1)], out=out, **given)
    return of_folder(out)


# --- a real micrograph -----------------------------------------------------------------------------------------------


def real(shop: Workshop, preset: str) -> dict[str, str]:
    """Also tells the mean IoU with the ground truth."""
    try:
        image = data_folder() / "interactive" / "interactive_0.png"
    except SystemExit as error:
        raise Skipped("no data folder") from error
    labels, truth = (image.with_name(f"{image.stem}_{kind}.png") for kind in ("labels", "truth"))
    if not truth.is_file():
        raise Skipped(f"no {truth.name}")
    out = shop.out()
    call("segment", image, labels=labels, out=out, preset=preset, trees=50, databar="0")
    found, wanted = imageio.imread(out / "labels.tif").squeeze(), imageio.imread(truth) + 1
    iou = [((found == k) & (wanted == k)).sum() / ((found == k) | (wanted == k)).sum() for k in np.unique(wanted)]
    return of_folder(out) | {"note": f"mean IoU {np.mean(iou):.4f}"}


CASES |= {f"real {preset}": partial(real, preset=preset) for preset in ("fast", "default")}
