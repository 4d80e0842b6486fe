"""Super-resolution: each goal beside what is measured, and beside interpolation of the same coarse volume.

    python benchmarks/superresolution.py [--part posterior electrode sofc cathode gan] [--runs 3] [--quick] [--out DIR]
                                         [--whole]

posterior: the probabilities alone, which take a minute: beside cubic interpolation at the same fraction, kriging with
the slice's covariance, and (--average) the mean of quick samples; of labels, probabilities, grey values, at factor 8.
electrode: truth is a 64^3 crop of every second voxel of volumes/electrode.tif (45 % matrix, 40 % particles, 15 %
binder); the coarse volume, 16^3, shows by majority where particles are, nothing else; the fine slice comes from outside
the crop. --quick: 60 steps without VGG19. Settings were chosen on the crop at (0, 0, 0) with slice 100 and the one at
(64, 64, 64) with slice 20; reported are three others.
sofc and cathode are real pairs without a truth: a part of each, with half the steps; --whole takes all of sofc, by
blocks (over an hour); --mean: the most probable volumes alone (all of sofc: two minutes).
gan: a training of a few minutes on a CPU, which shows that it runs and where its numbers go, not what a full one
reaches. --out keeps the volumes, to be looked at.
"""

from __future__ import annotations

import argparse
import csv
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
from kriging import REACH as KRIGING_REACH
from kriging import kriged
from machine import data_folder
from reconstruction import FIGURES, NAMES, SIDE, add_figures, conductivity, surfaces
from reconstruction import electrode as true_electrode
from results import Results, Table, add_json
from scipy import ndimage

from fijibridge.metrology import two_point_correlation
from fijibridge.network.calibration import expected_calibration_error
from fijibridge.phases.phases import Phases, as_phases
from fijibridge.reconstruction import check_exemplars, compare
from fijibridge.superresolution import (
    Posterior,
    SuperresolutionSettings,
    coarse_grey,
    coarse_labels,
    coarse_probabilities,
    most_probable,
    superresolve,
    tied,
)
from fijibridge.superresolution.partial_volume import group_masks, radial_covariance
from fijibridge.superresolution.posterior import posterior_of, typical_material
from fijibridge.superresolution.psf import FWHM
from fijibridge.superresolution.samples import generated_samples
from fijibridge.superresolution.training import TrainingSettings, train_gan

CASES = (((64, 0, 0), 20), ((64, 64, 0), 40), ((0, 64, 64), 100))  # corner of the truth, place of the slice
FACTOR = 4
REACH = 32
PART = (slice(40, 64), slice(40, 56), slice(40, 56))  # of the cathode
SOFC_PART = (slice(0, 32),) * 3
QUICK = {"loss": "patches", "steps": 100}
RAPID = {"loss": "patches", "steps": 60}
AVERAGED = 4  # samples
WIDTH = 1.2  # of the simulated point-spread function (FWHM), in coarse voxels


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union."""
    return float((one & other).sum() / (one | other).sum())


def grid_trace(mask: np.ndarray, factor: int = FACTOR) -> float:
    """How much more often a phase ends at faces of coarse voxels than elsewhere; 1 of a material."""
    steps = [np.diff(np.moveaxis(mask, axis, 0), axis=0).mean((1, 2)) for axis in range(3)]
    last = factor - 1
    return float(np.mean([each[last::factor].mean() / np.delete(each, np.s_[last::factor]).mean() for each in steps]))


def cubic_of(values: np.ndarray, factor: int) -> np.ndarray:
    """Cubic interpolation, cut off to 0 ... 1."""
    return np.clip(ndimage.zoom(values, factor, order=3, mode="nearest", grid_mode=True), 0, 1)


def correlation_error(found: Phases, truth: Phases) -> float:
    """Largest of the phases' mean absolute differences over lags 0 to 32 along the axes, over phi (1 - phi), in %."""
    curves = []
    for phases in (found, truth):
        table = two_point_correlation(phases)
        table = table[(table.phase == table.other) & (table.direction != "radial") & (table.distance <= REACH)]
        curves.append(table.groupby(["phase", "distance"]).probability.mean())
    apart = (curves[0] - curves[1]).abs().groupby("phase").mean()
    shares = dict(zip(truth.names, np.array(truth.counts) / sum(truth.counts), strict=True))
    return max(100 * apart[name] / (share * (1 - share)) for name, share in shares.items())


def electrode_case(whole: np.ndarray, corner: tuple[int, int, int], place: int) -> tuple:
    """(truth, coarse volume, exemplars) of a case."""
    z, y, x = corner
    truth = whole[z : z + SIDE, y : y + SIDE, x : x + SIDE]
    n = SIDE // FACTOR
    shares = (truth == 1).reshape(n, FACTOR, n, FACTOR, n, FACTOR).mean((1, 3, 5))
    exemplars = check_exemplars({"xy": as_phases(whole[place], class_names=NAMES)})
    volume = as_phases((shares >= 0.5).astype(np.uint8), class_names=["rest", "particles"])
    return truth, coarse_labels(volume, exemplars.first, ["particles"]), exemplars


def judged(truth: np.ndarray, exemplars, made) -> dict[str, float]:
    """The figures of one volume."""
    index, tie = made.phases.index, made.tie
    counts = np.array(made.phases.counts) / index.size
    wanted = tie.agreement.fractions()
    slices = exemplars.fractions
    unseen = counts[[0, 2]] / counts[[0, 2]].sum() - slices[[0, 2]] / slices[[0, 2]].sum()
    coarse = (tie.agreement.coarse.labels == 0).astype(np.float32)
    linear, cubic = (ndimage.zoom(coarse, FACTOR, order=order, mode="nearest", grid_mode=True) for order in (1, 3))
    by_cubic = overlap(cubic > np.quantile(cubic, 1 - counts[1]), truth == 1)
    likely = made.posterior.mean.index == 1 if made.posterior else np.zeros_like(truth, bool)
    lines = compare(exemplars.planes, made.phases).table
    lines = lines[lines.metric == "perimeter"].error.abs().max()
    surface = 100 * (surfaces(index) / surfaces(truth) - 1)
    seen = index.reshape(16, 4, 16, 4, 16, 4) == 1
    return {
        "visible phase: fraction seen as coarsely, less the coarse volume's (points)": 100
        * ((seen.mean((1, 3, 5)) >= 0.5).mean() - coarse.mean()),
        "visible phase: fraction less that expected from the coarse volume (points)": 100 * (counts[1] - wanted[1]),
        "visible phase: fraction less the coarse volume's as it is (points)": 100 * (counts[1] - coarse.mean()),
        "unseen phases: share among them less the slice's (points)": 100 * np.abs(unseen).max(),
        **{f"fraction of {name} less the truth's (points)": 100 * (counts[k] - (truth == k).mean())
           for k, name in enumerate(NAMES)},
        "two-point correlation against the truth (%)": correlation_error(
            made.phases, as_phases(truth, class_names=NAMES)
        ),
        "two-point correlation of the slice itself against the truth (%)": correlation_error(
            exemplars.first, as_phases(truth, class_names=NAMES)
        ),
        "surface in slices against the slice (%)": float(lines),
        **{f"surface of {name} against the truth (%)": surface[k] for k, name in enumerate(NAMES)},
        "agreement with the coarse volume (%)": 100 * made.agreement,
        "IoU of the visible phase": overlap(index == 1, truth == 1),
        "IoU of the visible phase in the most probable volume": overlap(likely, truth == 1),
        "the same less that of cubic interpolation at our fraction": overlap(likely, truth == 1) - by_cubic,
        "IoU of trilinear interpolation, cut at one half": overlap(linear >= 0.5, truth == 1),
        "IoU of trilinear interpolation, cut at our fraction": overlap(
            linear > np.quantile(linear, 1 - counts[1]), truth == 1
        ),
        "IoU of cubic interpolation, cut at our fraction": by_cubic,
        "interfaces of the visible phase at coarse faces / elsewhere (truth: 1)": grid_trace(index == 1),
        "D_eff of the matrix / truth": np.mean(conductivity(index, 0)) / np.mean(conductivity(truth, 0)),
        "D_eff of the particles / truth": np.mean(conductivity(index, 1)) / np.mean(conductivity(truth, 1)),
    }  # fmt: skip


def electrode(folder: Path, arguments: argparse.Namespace, results: Results) -> None:
    """The issue's table."""
    known = true_electrode()
    scatter = {name: known.scatter[k] / known.surface[k] for k, name in enumerate(NAMES)}
    found = []
    for seed in range(arguments.runs):
        corner, place = CASES[seed % len(CASES)]
        truth, coarse, exemplars = electrode_case(known.volume, corner, place)
        cpu = time.process_time()
        settings = SuperresolutionSettings(seed=seed)
        made = superresolve(coarse, exemplars, FACTOR, replace(settings, **RAPID) if arguments.quick else settings)
        spent = time.process_time() - cpu
        keep(arguments.out, f"electrode-{seed}", made)
        found.append({"CPU s": spent, **judged(truth, exemplars, made)})
        told = "; ".join(f"{key} {value:.3g}" for key, value in found[-1].items())
        print(f"  crop {corner}, slice {place}, seed {seed}: {told}", flush=True)
    crops = [known.volume[z : z + SIDE, y : y + SIDE, x : x + SIDE] for z in (0, 64) for y in (0, 64) for x in (0, 64)]
    apart = [100 * np.std([(crop == k).mean() for crop in crops], ddof=1) for k in range(3)]
    deviation = 100 * known.scatter[3] / known.conductivity[0]
    goals = {
        "CPU s": "<= 480",
        "visible phase: fraction seen as coarsely, less the coarse volume's (points)": "<= 0.3",
        "visible phase: fraction less that expected from the coarse volume (points)": "<= 0.3",
        "unseen phases: share among them less the slice's (points)": "<= 0.3",
        **{f"fraction of {name} less the truth's (points)": f"crops {apart[k]:.2f}" for k, name in enumerate(NAMES)},
        "two-point correlation against the truth (%)": "<= 1.5",
        **{f"surface of {name} against the truth (%)": f"+-4 (crops {100 * scatter[name]:.1f})" for name in NAMES},
        "agreement with the coarse volume (%)": ">= 99.5",
        "the same less that of cubic interpolation at our fraction": ">= 0.01",
        "interfaces of the visible phase at coarse faces / elsewhere (truth: 1)": "<= 1.03",
        "D_eff of the matrix / truth": f"0.96 to 1.04 (crops {deviation:.1f} %)",
        "D_eff of the particles / truth": "0.8 to 1.25",
    }
    columns = {"figure": "", "mean": ".3g", "smallest": ".3g", "largest": ".3g", "goal": ""}
    title = f"Particles of the electrode from 16^3 to 64^3 voxels, {len(found)} volumes"
    table = results.table(
        "electrode_quick" if arguments.quick else "electrode",
        f"{title}, {RAPID['steps']} steps without VGG19" if arguments.quick else title,
        columns,
    )
    for key in found[0]:
        values = np.array([run[key] for run in found])
        table.add(key, values.mean(), values.min(), values.max(), goals.get(key))


def probable(truth: np.ndarray, probability: np.ndarray, fraction: float, factor: int) -> dict[str, float]:
    """The figures of a visible phase's probabilities."""
    cut, flat = probability > np.quantile(probability, 1 - fraction), probability.ravel()
    both = np.stack([1 - flat, flat], axis=1)
    return {
        "IoU": overlap(cut, truth),
        "Brier": float(np.square(probability - truth).mean()),
        "calibration": expected_calibration_error(both, truth.ravel().astype(int)),
        "trace": grid_trace(cut, factor),
    }


def covariances(exemplars, groups, factor: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each group, of a slice, as kriging takes them."""
    mask = group_masks(exemplars.first, groups)
    reach = int(np.ceil(np.sqrt(3) * (2 * KRIGING_REACH + 2) * factor))
    return [radial_covariance(each, min(reach, min(each.shape) // 2)) for each in mask]


def kinds_of(whole: np.ndarray, corner: tuple[int, ...], place: int, factor: int, side: int) -> tuple:
    """(truth, exemplars, coarse volumes by their name)."""
    where = tuple(slice(start, start + side) for start in corner)
    truth, n = whole[where], side // factor
    exemplars = check_exemplars({"xy": as_phases(whole[place], class_names=NAMES)})
    first = exemplars.first

    def means(values: np.ndarray) -> np.ndarray:
        return values.reshape(n, factor, n, factor, n, factor).mean((1, 3, 5))

    shares = np.stack([means(truth == phase) for phase in range(3)])
    seen = ndimage.gaussian_filter((whole == 1).astype(np.float32), WIDTH * factor / FWHM)[where]
    noise = np.random.default_rng(0).normal(0, 6, (n, n, n))
    labels = as_phases((shares[1] >= 0.5).astype(np.uint8), class_names=["rest", "particles"])
    three = as_phases(shares.argmax(0).astype(np.uint8), class_names=NAMES)
    coarse = {
        "labels": coarse_labels(labels, first, ["particles"]),
        "labels, all phases visible": coarse_labels(three, first, list(NAMES)),
        "shares of voxels": coarse_probabilities(shares[1], first, ["particles"]),
        "grey, blurred, noise": coarse_grey(20 + 90 * means(seen) + noise, first, ["particles"]),
    }
    return truth, exemplars, coarse


def posterior(folder: Path, arguments: argparse.Namespace, results: Results) -> None:
    """Probabilities of the particles, beside interpolation and kriging."""
    fine = tifffile.imread(folder / "volumes" / "electrode.tif")
    half = fine[::2, ::2, ::2]
    cases = [(half, corner, place, FACTOR, SIDE) for corner, place in CASES[: arguments.runs]]
    cases.append((fine, (128, 0, 0), 40, 8, 128))
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for whole, corner, place, factor, side in cases:
        truth, exemplars, volumes = kinds_of(whole, corner, place, factor, side)
        settings = SuperresolutionSettings(trust="coarse")
        cpu = time.process_time()
        material = typical_material(exemplars, factor, settings)
        shared = time.process_time() - cpu
        there = truth == 1
        for kind, coarse in volumes.items():
            if factor == 8 and kind != "labels":
                continue
            agreement, group = tied(coarse, exemplars, factor, settings).agreement, coarse.groups.index((1,))
            fraction = float(agreement.fractions()[1])
            name = kind if factor == FACTOR else f"{kind}, factor {factor}"
            values = coarse.values[group] if coarse.kind == "probabilities" else (coarse.labels == group)
            values = (coarse.values - 20) / 90 if coarse.kind == "grey" else values
            rows = {"cubic interpolation": cubic_of(values.astype(np.float32), factor)}
            spent = {"cubic interpolation": 0.0}
            if kind == "labels":
                cpu = time.process_time()
                rows["kriging"] = kriged(coarse.labels, covariances(exemplars, coarse.groups, factor), factor, 0.02)[
                    group
                ]
                spent["kriging"] = time.process_time() - cpu
            cpu = time.process_time()
            learned = posterior_of(agreement, exemplars, settings, material)
            rows["posterior"], spent["posterior"] = learned.probabilities[1], time.process_time() - cpu + shared
            if arguments.average and kind == "labels" and factor == FACTOR and place == CASES[0][1]:
                name_of = f"mean of {AVERAGED} samples of {RAPID['steps']} steps"
                rows[name_of], spent[name_of] = averaged(coarse, exemplars, learned)
            by_cubic = probable(there, rows["cubic interpolation"], fraction, factor)["IoU"]
            for method, probability in rows.items():
                figures = {**probable(there, probability, fraction, factor), "CPU s": spent[method]}
                figures["gain"] = figures["IoU"] - by_cubic
                found.setdefault((name, method), []).append(figures)
                told = ", ".join(f"{key} {value:.4g}" for key, value in figures.items())
                print(f"  crop {corner}, slice {place}, {name}, {method}: {told}", flush=True)
        posterior_table(found, results)


def posterior_table(found: dict[tuple[str, str], list[dict[str, float]]], results: Results) -> None:
    """Means over the crops so far: anew after each, so that a run that is broken off keeps what it found."""
    columns = {
        "coarse volume": "", "method": "", "crops": "d", "IoU": ".3f", "less cubic's (goal: 0.010)": "+.3f",
        "Brier score": ".4f", "calibration error": ".3f", "trace of the coarse grid (truth: 1)": ".2f", "CPU s": ".0f",
    }  # fmt: skip
    title = (
        "Where the particles are, as probabilities, cut at the same fraction: crops of the electrode, one slice each"
    )
    table = results.table("posterior", title, columns)
    for (name, method), runs in found.items():
        mean = {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}
        table.add(
            name, method, len(runs), mean["IoU"], mean["gain"], mean["Brier"], mean["calibration"], mean["trace"],
            mean["CPU s"],
        )  # fmt: skip


def averaged(coarse, exemplars, learned: Posterior) -> tuple[np.ndarray, float]:
    """Share of quick samples that have the particles, and the CPU seconds that they took."""
    cpu, total = time.process_time(), np.zeros(learned.mean.index.shape, np.float32)
    for seed in range(AVERAGED):
        settings = SuperresolutionSettings(seed=seed, trust="coarse", **RAPID)
        total += superresolve(coarse, exemplars, FACTOR, settings, posterior=learned).phases.index == 1
    return total / AVERAGED, time.process_time() - cpu


def pair_figures(made, exemplars, table: Table) -> None:
    """What is known without a truth: against the slice."""
    table = compare(exemplars.planes, made.phases).table
    fractions, lines = (table[table.metric == metric] for metric in ("fraction", "perimeter"))
    table.add("fractions, mean relative difference from the slice (%)", fractions.error.abs().mean(), "1")
    table.add("fractions, mean difference (points)", fractions.difference.abs().mean(), None)
    table.add("surface in slices, mean relative difference (%)", lines.error.abs().mean(), "1")
    table.add("agreement with the coarse volume (%)", 100 * made.agreement, None)
    for note in made.notes:
        print(f"  note: {note}")


def keep(out: Path | None, name: str, made) -> None:
    """The volume as a TIFF, to be looked at."""
    if out:
        out.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(out / f"{name}.tif", made.phases.index)


def measured(
    name: str,
    coarse,
    exemplars,
    factor: int,
    settings: SuperresolutionSettings,
    arguments: argparse.Namespace,
    results: Results,
) -> None:
    """Make a volume and report what is known of it without a truth."""
    cpu = time.process_time()
    make = most_probable if arguments.mean else superresolve
    made = make(coarse, exemplars, factor, settings)
    spent = time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    name = f"{name}_mean" if arguments.mean else name
    keep(arguments.out, name, made)
    sizes = " to ".join(" x ".join(map(str, shape)) for shape in (coarse.shape, made.phases.index.shape))
    title = f"{name}, {sizes} voxels" + (
        ", the most probable volume" if arguments.mean else f", {settings.chunk} a chunk"
    )
    table = results.table(name, title, {"figure": "", "measured": ".2f", "goal": ""})
    table.add("CPU s", spent, None)
    table.add("peak memory, GiB", peak, "6")
    visible = [group[0] for group in made.tie.agreement.coarse.groups if len(group) == 1]
    traces = [grid_trace(made.phases.index == phase, factor) for phase in visible]
    table.add("ends of visible phases at coarse faces / elsewhere, mean", float(np.mean(traces)), "1.03")
    pair_figures(made, exemplars, table)


def interfaces(index: np.ndarray) -> np.ndarray:
    """Faces between each pair of phases, per voxel."""
    number = int(index.max()) + 1
    found = np.zeros((number, number))
    for axis in range(3):
        one, other = (np.moveaxis(index, axis, 0)[piece].ravel() for piece in (slice(1, None), slice(None, -1)))
        found += np.bincount(number * one.astype(int) + other, minlength=number**2).reshape(number, number) / one.size
    return (found + found.T)[np.triu_indices(number, 1)]


def sofc(folder: Path, arguments: argparse.Namespace, results: Results) -> None:
    """All phases visible, factor 4."""
    names = ["phase 0", "phase 1", "phase 2"]
    fine = as_phases(tifffile.imread(folder / "volumes" / "sofc_slice.tif"), class_names=names)
    volume = tifffile.imread(folder / "volumes" / "sofc_coarse.tif")
    part = volume if arguments.whole else volume[SOFC_PART]
    coarse = as_phases(part, class_names=names)
    settings = SuperresolutionSettings(trust="slices", chunk=136 if arguments.whole else 0, **QUICK)
    exemplars = check_exemplars({"xy": fine})
    measured("sofc", coarse_labels(coarse, fine, names), exemplars, 4, settings, arguments, results)
    if not arguments.whole:
        apart = 100 * (interfaces(part) / interfaces(volume) - 1)
        told = ", ".join(f"{value:+.1f} %" for value in apart)
        print(f"  interfaces 0/1, 0/2, 1/2 of this part of the coarse volume, less those of all of it: {told}")


def cathode(folder: Path, arguments: argparse.Namespace, results: Results) -> None:
    """A CT without pores, factor 8: who is right is asked, then said."""
    names = ["pore", "particles", "binder"]
    fine = as_phases(tifffile.imread(folder / "volumes" / "cathode_sem_slice.tif"), class_names=names)
    volume = tifffile.imread(folder / "volumes" / "cathode_ct_coarse.tif")
    exemplars = check_exemplars({"xy": fine})
    whole = coarse_labels(as_phases(volume, class_names=["rest", "particles"]), fine, ["particles"])
    try:
        tied(whole, exemplars, 8)
    except ValueError as error:
        print(f"\ncathode: {error}")
    part = replace(whole, values=whole.values[PART], labels=whole.labels[PART])
    settings = SuperresolutionSettings(trust="coarse", chunk=128, **QUICK)
    measured("cathode", part, exemplars, 8, settings, arguments, results)


def gan(folder: Path, arguments: argparse.Namespace, results: Results) -> None:
    """A short training."""
    truth, coarse, exemplars = electrode_case(
        tifffile.imread(folder / "volumes" / "electrode.tif")[::2, ::2, ::2], *CASES[0]
    )
    tie = tied(coarse, exemplars, FACTOR)
    with tempfile.TemporaryDirectory() as place:
        cpu = time.process_time()
        settings = TrainingSettings(iterations=120, width=16, batch=1, crop=8, check_every=20)
        model = train_gan(tie, exemplars, settings, out=Path(place) / "model")
        print(f"\ngan: {settings.iterations} steps of a small one, {time.process_time() - cpu:.0f} CPU s")
        with (Path(place) / "model" / "training.csv").open(encoding="utf-8") as file:
            for row in csv.reader(file):
                print("| " + " | ".join(value[:8] for value in row) + " |")
    cpu = time.process_time()
    made = generated_samples(model, tie, 0, 1)[0]
    keep(arguments.out, "gan", made)
    figures = {"CPU s to apply it": time.process_time() - cpu, **judged(truth, exemplars, made)}
    add_figures(results.table("gan_short", "A GAN after a short training on the CPU", FIGURES), figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"posterior": posterior, "electrode": electrode, "sofc": sofc, "cathode": cathode, "gan": gan}
    parser.add_argument("--part", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--average", action="store_true")
    parser.add_argument("--mean", action="store_true")
    add_json(parser)
    arguments = parser.parse_args()
    results = Results("superresolution", arguments.json)
    for part in arguments.part:
        parts[part](data_folder(), arguments, results)


if __name__ == "__main__":
    main()
