"""Which encoders rows start from, and what a smoke run leaves out."""

from experiments import encoders
from experiments.protocols import PROTOCOLS, protocol_named
from experiments.quick import TRANSFERS, is_left_out
from gnnrec.experiment.config import read_config


def test_every_encoder_of_a_row_is_known_and_has_the_shape_of_the_row() -> None:
    looked_at = 0
    for protocol in PROTOCOLS:
        configs = [read_config(path) for path in protocol.configs()]
        for config in configs:
            (name,) = encoders.wanted([config]) or ("",)
            path = config.config.model.get("pretrained")
            if path is None:
                continue
            looked_at += 1
            assert str(path) == f"../../runs/encoders/{name}"
            source = encoders.sources([name])[0]
            for key in ("channels", "layers", "layer", "norm"):
                assert source.config.model["encoder"][key] == config.config.model["encoder"][key], config.name
            assert source.config.data != config.config.data
    assert looked_at > 30


def test_the_encoder_without_common_films_is_made_without_them() -> None:
    encoder = encoders.ENCODERS["ml-1m-without-ml-100k"]
    assert (encoder.sources, encoder.without) == (("ml-1m",), "ml-100k")
    names = [config.name for config in encoders.sources(["ml-1m-without-ml-100k"])]
    assert names == ["ml-1m", "ml-100k"]


def test_a_blend_starts_from_its_component_s_encoder() -> None:
    (blend,) = (p for p in protocol_named("ml-100k-transfer-5").configs() if p.stem == "blend")
    assert encoders.wanted([read_config(blend)]) == ["ml-1m"]


def test_a_smoke_run_has_one_transfer_of_a_kind() -> None:
    names = [p.name for p in PROTOCOLS if "-transfer-" in p.name]
    assert {name for name in names if not is_left_out(name)} == set(TRANSFERS)
    assert is_left_out("ta-feng-next")
    assert not is_left_out("ml-100k")
