"""Tokens of every n-th slice: ends are made, between them they are interpolated, unlike neighbours are not."""

from __future__ import annotations

import numpy as np
import pytest

from fijibridge.core.errors import SettingsError
from fijibridge.features.vit.along_z import TokensAlongZ, correlation


class Encoder:
    """Tokens that change linearly along the stack, and where they jump from one content to another."""

    def __init__(self, jump: int = 99) -> None:
        self.asked: list[int] = []
        rng = np.random.default_rng(0)
        self.parts = rng.normal(size=(3, 5, 6, 4)).astype(np.float32)
        self.jump = jump

    def __call__(self, z: int) -> dict[str, np.ndarray]:
        self.asked.append(z)
        base, change, other = self.parts
        return {"b": other if z >= self.jump else base + np.float32(0.02 * z) * change}


def test_every_fourth_is_made_and_the_others_lie_between():
    encode = Encoder()
    along = TokensAlongZ(encode, 11)
    found = [along.tokens(z)["b"] for z in range(11)]
    assert encode.asked == [0, 4, 8, 10]
    for z, own in enumerate(found):
        np.testing.assert_allclose(own, Encoder()(z)["b"], atol=1e-5)


def test_any_order_gives_the_same():
    forwards, backwards = TokensAlongZ(Encoder(), 9, 3), TokensAlongZ(Encoder(), 9, 3)
    one = {z: forwards.tokens(z)["b"] for z in range(9)}
    other = {z: backwards.tokens(z)["b"] for z in reversed(range(9))}
    for z in range(9):
        np.testing.assert_array_equal(one[z], other[z])


def test_unlike_neighbours_are_not_interpolated():
    encode = Encoder(jump=6)
    along = TokensAlongZ(encode, 12)
    for z in range(12):
        np.testing.assert_allclose(along.tokens(z)["b"], Encoder(jump=6)(z)["b"], atol=1e-5)
    assert {5, 6, 7} <= set(encode.asked)
    assert not {1, 2, 3} & set(encode.asked)


def test_every_slice():
    encode = Encoder()
    along = TokensAlongZ(encode, 5, 1)
    assert [along.tokens(z)["b"][0, 0, 0] for z in range(5)] == [Encoder()(z)["b"][0, 0, 0] for z in range(5)]
    assert encode.asked == [0, 1, 2, 3, 4]


def test_correlation_is_that_of_numpy():
    one, other = np.random.default_rng(1).normal(size=(2, 7, 5, 1)).astype(np.float32)
    assert correlation(one, other) == pytest.approx(np.corrcoef(one.ravel(), other.ravel())[0, 1], abs=1e-6)
    assert correlation(one, one + 3) == pytest.approx(1)
    assert correlation(one, np.ones_like(one)) == 0


@pytest.mark.parametrize(("count", "every"), [(0, 4), (5, 0)])
def test_numbers_from_one_on(count, every):
    with pytest.raises(SettingsError, match="every"):
        TokensAlongZ(Encoder(), count, every)


@pytest.mark.parametrize("z", [-1, 5])
def test_a_slice_that_is_not_there(z):
    with pytest.raises(SettingsError, match="slice"):
        TokensAlongZ(Encoder(), 5).tokens(z)
