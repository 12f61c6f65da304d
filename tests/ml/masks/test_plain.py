"""The masks without compiled loops against those with them, which are tested against pycocotools."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ml.masks import Frame, Masks, PlainMasks

SIDES = st.integers(1, 12)
DENSE = st.tuples(st.integers(0, 4), SIDES, SIDES).flatmap(lambda shape: arrays(bool, shape))


@st.composite
def frames(draw, size):
    height, width = size
    x0, y0 = draw(st.floats(0, width - 0.5)), draw(st.floats(0, height - 0.5))
    x1, y1 = draw(st.floats(x0 + 0.25, width)), draw(st.floats(y0 + 0.25, height))
    crop = draw(st.sampled_from([None, (x0, y0, x1, y1)]))
    return Frame(crop, draw(st.booleans()), draw(st.sampled_from([8, 64, 100])))


@given(DENSE)
@settings(deadline=None)
def test_says_of_masks_what_the_compiled_ones_say(dense):
    plain, compiled = PlainMasks.from_dense(dense), Masks.from_dense(dense)
    assert len(plain) == len(dense)
    assert all((plain.dense(i) == dense[i]).all() for i in range(len(dense)))
    assert plain.to_strings() == compiled.to_strings()
    for told in ("areas", "boxes", "coco_boxes"):
        assert (getattr(plain, told)() == getattr(compiled, told)()).all()
    assert (plain.intersection(plain) == compiled.intersection(compiled)).all()
    assert (plain.containment(plain) == compiled.containment(compiled)).all()


@given(DENSE.filter(len), st.data())
@settings(deadline=None)
def test_covers_grids_as_the_compiled_ones_do(dense, data):
    frame = data.draw(frames(dense.shape[1:]))
    grid = data.draw(st.tuples(SIDES, SIDES))
    found = PlainMasks.from_dense(dense).coverage(grid, frame)
    np.testing.assert_allclose(found, Masks.from_dense(dense).coverage(grid, frame), atol=1e-5)


@given(DENSE, st.data())
@settings(deadline=None)
def test_selects_and_concatenates_in_order(dense, data):
    masks = PlainMasks.from_dense(dense)
    chosen = data.draw(st.lists(st.integers(0, len(dense) - 1))) if len(dense) else []
    both = PlainMasks.concatenate([masks.select(chosen), masks], masks.size)
    wanted = Masks.from_dense(np.concatenate([dense[np.array(chosen, int)], dense]))
    assert both.to_strings() == wanted.to_strings()


def test_refuses_masks_of_other_images():
    with pytest.raises(ValueError, match="share pixels"):
        PlainMasks.from_dense(np.ones((1, 2, 3), bool)).intersection(PlainMasks.from_dense(np.ones((1, 3, 2), bool)))


def test_compiles_nothing():
    code = "import sys; from ml.masks import Frame, PlainMasks; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
