import numpy as np
import torch

from gnnrec.runtime import seeds


def test_one_seed_and_stage_is_one_stream():
    for stream in (seeds.generator, seeds.numpy_generator):
        first, second = stream(3, "split"), stream(3, "split")
        for _ in range(3):
            assert draw(first) == draw(second)


def test_stages_and_seeds_share_nothing():
    names = [(seed, stage) for seed in range(50) for stage in ("split", "weights", "support", "pretext edges")]
    integers = [seeds.integer(*name) for name in names]
    assert len(set(integers)) == len(names)
    assert all(0 <= integer < 2**63 for integer in integers)  # what torch and numpy both take
    assert max(integers) > 2**62  # and not only the small ones


def test_one_more_draw_in_a_stage_does_not_move_another():
    sampling, other = seeds.generator(0, "sampling"), seeds.generator(0, "split")
    draw(sampling)
    assert draw(other) == draw(seeds.generator(0, "split"))


def test_the_global_generator_is_left_alone():
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    draw(seeds.generator(0, "split"))
    assert torch.equal(torch.rand(1), before)


def test_neighbouring_seeds_are_not_alike():
    # Correlation of two independent streams of 10,000 has a standard deviation of 0.01.
    one, other = (torch.rand(10_000, generator=seeds.generator(seed, "split")) for seed in (0, 1))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.05


def draw(stream):
    return stream.random() if isinstance(stream, np.random.Generator) else torch.rand(1, generator=stream).item()
