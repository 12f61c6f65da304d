"""The copies of benchmark images that toytown plants in its first shard are found, all of them and nothing else."""

import pytest
import simplejpeg

from ml.labeling.training_set.contamination import copies
from ml.params import Params
from ml.sa1b.reading.phash import mirrored_phash, phash
from ml.toytown.files.shards import PLANTED, image_id, jpeg, shard_drawing
from ml.toytown.world.draw import draw
from ml.toytown.world.scene import scene


@pytest.mark.parametrize("shard", [0, 1])
def test_what_is_planted_is_found(few: Params, shard: int) -> None:
    known = []
    for benchmark, _ in PLANTED:
        image = simplejpeg.decode_jpeg(jpeg(draw(scene(few.seed, 0, benchmark)).image))
        known.append({"image": benchmark, "mirrored": False, "phash": phash(image)})
        known.append({"image": benchmark, "mirrored": True, "phash": mirrored_phash(image)})
    count = few.toytown.images_per_shard
    images = [simplejpeg.decode_jpeg(jpeg(shard_drawing(shard, index, few).image)) for index in range(count)]
    ids = [image_id(shard, index, few) for index in range(count)]
    found = copies("sa", ids, [phash(image) for image in images], known)
    planted = dict(zip([benchmark for benchmark, _ in PLANTED], ids[-len(PLANTED) :], strict=True))
    assert {row["benchmark_image"]: row["image_id"] for row in found} == (planted if shard == 0 else {})
    assert [row["mirrored"] for row in found] == ([False, True, False] if shard == 0 else [])


def test_masks_of_a_mirrored_copy_lie_on_what_they_show(few: Params) -> None:
    original = draw(scene(few.seed, 0, "lvis/val"))
    planted = shard_drawing(0, few.toytown.images_per_shard - 2, few)
    assert (planted.masks == original.masks[:, :, ::-1]).all() and (planted.image == original.image[:, ::-1]).all()
