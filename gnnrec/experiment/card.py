"""Model cards: of a pretrained encoder, and of a model with a guarantee of privacy."""

from collections.abc import Mapping
from typing import Any

CARD_TEXT = "card.md"
"""Name of the file."""


def card_text(card: Mapping[str, Any]) -> str:
    """A page in Markdown: what the encoder was trained on, under what terms, what it holds, what it is not for.

    Source: Mitchell et al., Model Cards for Model Reporting, FAT* 2019.

    Args:
        card: as `gnnrec.experiment.pretrain.pretrain` writes it.
    """
    platforms = card["platforms"]
    names = ", ".join(one["data"] for one in platforms)
    shape, relations = card["shape"], ", ".join(f"{source} {name}" for source, name, _ in card["relations"])
    texts = sorted({encoder for one in platforms for encoder in one["text_encoders"]})
    lines = [
        f"# Encoder pretrained on {names}",
        "",
        "A graph encoder of gnnrec. `gnnrec pretrain` wrote it; `model: {class: GraphSAGE, pretrained: <this folder>}` "
        "starts from it.",
        "",
        "## Trained on",
        "",
        "| data | users | items | interactions | terms |",
        "|---|---:|---:|---:|---|",
        *(
            f"| {one['data']} | {one['users']:,} | {one['items']:,} | {one['interactions']:,} | "
            f"{one['terms'] or 'those of its owner'} |"
            for one in platforms
        ),
        "",
        *(f"- {one['citation']}" for one in platforms if one["citation"]),
        *([f"- Without the items that are on {card['without']} too."] if card["without"] else []),
        f"- All {card['users']:,} users were trained on; before, epochs were chosen on a tenth of them: "
        f"{', '.join(f'{name} {number}' for name, number in card['chosen'].items())}.",
        "",
        "## Holds",
        "",
        f"- Layers: {shape['layers']} of {shape['layer']}, {shape['channels']} channels.",
        f"- Relations: {relations}.",
        f"- Names and vectors of {card['items']:,} items and of the values of "
        f"{', '.join(f'{name} ({count:,})' for name, count in card['values'].items()) or 'no attribute'}; each item's "
        "share of the interactions; mean vectors of the users who chose an item or have a value.",
        f"- A linear map to the vector of a new item from its attributes and features "
        f"({', '.join(f'{name}, {width} numbers' for name, width in card['features'].items()) or 'there are none'}).",
        f"- {card['numbers']:,} numbers. No vector, id or interaction of a single user.",
        "",
        "## Languages",
        "",
        "- Words are compared by the Universal Sentence Encoder (16 languages)."
        if "use" in texts or not texts
        else f"- Words are encoded by {', '.join(texts)}.",
        "",
        "## Limits",
        "",
        "- It knows what these users chose when the data were collected, and repeats their habits, unfair ones too.",
        "- An item or value that few users had can reveal what they chose: mean vectors of one user are that user's.",
        "- What neither matches by name nor by words starts fresh; `gnnrec data match` shows it before training.",
        "- The terms of the data hold for what is made of them.",
        "",
        "## Made by",
        "",
        f"- {', '.join(f'{name} {version}' for name, version in card['versions'].items())}; {card['seconds']} s.",
        "",
    ]
    return "\n".join(lines)


def private_card_text(result: Mapping[str, Any]) -> str:
    """A page in Markdown on a run's model that learned under differential privacy: what is guaranteed, and what is not.

    Source: Mitchell et al., Model Cards for Model Reporting, FAT* 2019.

    Args:
        result: of the run, as `result.json` has it, with a `guarantee`.
    """
    given, model, data = result["guarantee"], result["config"]["model"], result["config"].get("data", {})
    epsilon = given["epsilon"]
    claim = (
        "**Nothing is guaranteed**: `epsilon` is null, and no noise was added."
        if epsilon is None
        else f"The model is **(epsilon = {epsilon:g}, delta = {given['delta']:g})-differentially private**."
    )
    lines = [
        f"# {model['class']}, {result['name']}, seed {result['seed']}",
        "",
        "## Privacy of training users",
        "",
        claim,
        "",
        f"- Unit: {given['unit']}. Neighbouring: {given['neighbours']}. Accountant: {given['accountant']}.",
        f"- Public by declaration: the ids of {', '.join(given['declared'])}.",
        "- Noise came from the operating system and cannot be drawn again."
        if given["noise"] == "system"
        else "- Noise was drawn from the run's seed: the guarantee holds against those who do not know it. For a model "
        "that is given away, set `noise: system`.",
        "",
        "| released | noise multiplier | sample rate | sums |",
        "|---|---:|---:|---:|",
        *(
            f"| {name} | {one['noise_multiplier']:.4g} | {one['sample_rate']:g} | {one['steps']} |"
            for name, one in given["releases"].items()
        ),
        "",
        "## Limits",
        "",
        "- The guarantee is of what lies in `model/`. `result.json` and `per_user.parquet` hold exact numbers of test "
        "users, and counts of training users in `audit`: keep them where the data are kept.",
        "- Options that were chosen on these users, and further models of the same users, cost privacy besides.",
        "- Interactions that are recorded after training (`gnnrec update`, the service) are not part of it.",
        "- Noise is made of floating-point numbers, whose rounding is not accounted for.",
        *([f"- Trained on {data['source']}."] if "source" in data else []),
        "",
    ]
    return "\n".join(lines)
