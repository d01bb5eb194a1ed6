"""The protocols: for each, the seeds, the columns of its table, published rows, and reference scores to meet."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFIGS, TABLES, FIGURES = ROOT / "configs", ROOT / "paper" / "tables", ROOT / "paper" / "figures"
RESULTS, TUNING = ROOT / "experiments" / "results", ROOT / "experiments" / "tuning"


@dataclass(frozen=True)
class Published:
    """A row taken from elsewhere.

    Attributes:
        name: of the model.
        values: metric -> value.
        source: who published it, or how it was computed.
    """

    name: str
    values: Mapping[str, float]
    source: str


@dataclass(frozen=True)
class ReferenceScore:
    """A number that a counting model is known to reach, computed apart from this package.

    Attributes:
        model: a config of the protocol.
        metric: as in results.
        value: the mean over all seeds.
        within: how far ours may lie from it.
    """

    model: str
    metric: str
    value: float
    within: float


@dataclass(frozen=True)
class Target:
    """A number that was aimed at before the runs.

    Attributes:
        metric: as in results.
        to_beat: the best reference score or published number that was known then.
        value: what is aimed at; None for a lead over the best baseline or rival.
        over_best: that share.
        lead: or a difference to it.
        also: further rows than graphsage and blend that may meet it.
    """

    metric: str
    to_beat: float | None
    value: float | None
    over_best: float = 0.0
    lead: float = 0.0
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Protocol:
    """A table: every config of `configs/<name>/`, with every seed.

    Attributes:
        name: of the folder of configs, of runs, and of the files of results and tables.
        title: for people.
        columns: the metrics that the table shows; rows are sorted by the first one.
        seeds: of the runs; where a config has folds, the seed is the fold.
        compared: the metric of the column against the best baseline; left out, the first column.
        plain: the row that a model falls back to when attributes are shuffled.
        reference: the row that the others are compared with; left out, the best baseline. Of a protocol that has one,
            no options are searched: its rows are variants of one model.
        groups: user attributes whose values the gain is shown by.
        profile: an invented user, whose recommendations are drawn as paths.
        published: rows from elsewhere.
        reference_scores: what must come out.
        targets: what was aimed at.
        rivals: the baselines of which the best one, in the target's own column, is to be passed; left out, the one that
            is best in the metric that models are compared by.
        options_from: another protocol on the same data; what was searched there is not searched again.
        searched: whether options of its rows are searched at all, where it has no `reference`.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    compared: str = ""
    plain: str = "popularity"
    reference: str = ""
    groups: tuple[str, ...] = ()
    profile: Mapping[str, object] = field(default_factory=dict)
    published: tuple[Published, ...] = ()
    reference_scores: tuple[ReferenceScore, ...] = ()
    targets: tuple[Target, ...] = ()
    rivals: tuple[str, ...] = ()
    options_from: str = ""
    searched: bool = True

    @property
    def main(self) -> str:
        """The metric that models are compared by."""
        return self.compared or self.columns[0]

    @property
    def results(self) -> Path:
        """File of the kept results."""
        return RESULTS / f"{self.name}.json"

    def configs(self, folder: Path = CONFIGS) -> list[Path]:
        """The config of each row, sorted by name; what they share, `_base.yaml`, is no row."""
        return sorted((folder / self.name).glob("[!_]*.yaml"))


AGNN = "public code of AGNN (Qian et al., TKDE 2022) on its own split, computed again over 3 seeds"
HYBRID = "logs of hybrid_rs (2017), five folds drawn with another seed"
NGUYEN = "Nguyen, Wang, Kalousis, Machine Learning 104 (2016), Table 5a"
LOCO = "Sedhain et al., AAAI 2017, Table 5"
FOLDS = tuple(range(5))
LISTS = ("ndcg@10", "recall@20", "precision@10", "coverage@10")
BESIDES = (
    *("ndcg@10", "coverage@10", "gini@10", "average_popularity@10", "long_tail_share@10", "miscalibration@10"),
    *("intra_list_diversity@10", "exposure_gap@10"),
)
"""What a list holds besides hits."""
OF_GROUPS = tuple(
    f"k{k}/{metric}" for k in (0, 5) for metric in ("ndcg@10", "ndcg_worst@10", "ndcg_gap@10", "probe_auc")
)
"""How well groups of users are served, and what vectors tell of them, before and after the first choices."""
LOCO_COLUMNS = ("precision@1", "precision@5", "precision@10", "precision@20", "recall@20", "map@100")
LASTFM = ("precision@20", "precision@1", "precision@5", "precision@10", "recall@20", "map@100", "ndcg@10")
SHOTS = tuple(f"k{k}/ndcg@10" for k in (0, 1, 2, 5, 10))
SINGLES = (
    *("popularity", "recent-popularity", "segment-popularity", "item-knn", "ease", "irspack", "markov-chain", "sasrec"),
    *("als", "als-attribute-map", "bpr", "bpr-attribute-map"),
)
DEFAULT = ("graphsage-default",)
DECODERS = tuple(f"graphsage-{name}" for name in ("dot", "linear", "mlp", "transformer"))
"""Beside `graphsage`, which has the decoder PairWise where the next item is asked for."""


def _loco(name: str, *values: float) -> Published:
    return Published(name, dict(zip(LOCO_COLUMNS, values, strict=True)), LOCO)


def _rated(name: str, at_5: float, at_10: float) -> Published:
    return Published(name, {"rated_ndcg@5": at_5, "rated_ndcg@10": at_10}, NGUYEN)


def _ratings(name: str, rmse: float, mae: float | None, source: str) -> Published:
    return Published(name, {"rmse": rmse} if mae is None else {"rmse": rmse, "mae": mae}, source)


def _ablation(data: str, title: str, columns: tuple[str, ...]) -> Protocol:
    """Variants of the default graph model, each of which differs in one thing."""
    name = f"{data}-ablation"
    return Protocol(name, title, columns, compared="ndcg@10", plain="graphsage-default", reference="graphsage-default")


def _layers(data: str, title: str, columns: tuple[str, ...]) -> Protocol:
    """The default encoder, without a regression, with other layers; no options are searched for any."""
    return Protocol(f"{data}-layers", title, columns, compared="ndcg@10", plain="sage", reference="sage")


def _next(data: str, title: str, seeds: tuple[int, ...] = (0,)) -> Protocol:
    """What comes next after so many events; aimed at: a lead over the best of all single baselines at each number."""
    return Protocol(
        f"{data}-next",
        f"{title}, next item",
        SHOTS,
        seeds,
        compared="k1/ndcg@10",
        targets=tuple(Target(metric, None, None, also=DECODERS) for metric in SHOTS[:4]),
        rivals=SINGLES,
    )


PRETRAINED = (
    "graphsage-pretrained",
    "graphsage-frozen",
    "graphsage-words",
    "graphsage-posters",
    "graphsage-no-overlap",
    "graphsage-pretrained-regression",
)
"""Beside `graphsage`, which starts from scratch."""


RIVALS = (*SINGLES, "attribute-knn", "attribute-linear", "neighbour-popularity", "lightfm", "regression", "denoising")
"""Single baselines where few users of a platform train."""


def _transfer(data: str, title: str, share: int, seeds: tuple[int, ...] = FOLDS) -> Protocol:
    """Few users of a platform train; aimed at: .015 over the best baseline and over training from scratch."""
    protocol = Protocol(
        f"{data}-transfer-{share}",
        f"{title}, {share} % of the training users",
        SHOTS,
        seeds,
        compared="k1/ndcg@10",
        plain="graphsage",
        searched=False,
    )
    rows = {path.stem for path in protocol.configs()}
    if share >= 20 or "blend" not in rows:
        return protocol
    also, rivals = (
        [row for row in names if row in rows] for names in (PRETRAINED, (*RIVALS, "graphsage", "graphsage-regression"))
    )
    targets = tuple(Target(metric, None, None, lead=0.015, also=tuple(also)) for metric in SHOTS)
    return replace(protocol, targets=targets, rivals=tuple(rivals))


def _newcomers(data: str, title: str, columns: tuple[str, ...], seeds: tuple[int, ...] = (0, 1, 2)) -> Protocol:
    """Unseen users, in the first column at first sight; aimed at there: 4 % over the best of all single baselines."""
    protocol = Protocol(data, title, columns, seeds, rivals=RIVALS)
    rows = {path.stem for path in protocol.configs()}
    target = Target(columns[0], None, None, over_best=0.04, also=DEFAULT)
    return replace(protocol, targets=(target,), rivals=tuple(row for row in RIVALS if row in rows))


CLASSES = ("class_accuracy", "macro_f1", "log_loss", "calibration_error")
RISK = ("auc", "ks", "brier", "class_accuracy", "calibration_error")
CLASSIFIERS = ("logistic-regression", "gradient-boosting", "attribute-linear", "segment-popularity")
INTENTS = ("logistic-regression", "logistic-regression-tfidf", "attribute-linear", "attribute-knn")
CASANUEVA = "Casanueva et al., NLP4ConvAI 2020, with other sentence encoders"


def _credit(labels: int | None = None) -> Protocol:
    """Applicants; aimed at: not below the better standard model, and with 100 labels above it."""
    few = "" if labels is None else f", {labels} labels"
    pretrained = () if labels is None else ("graphsage-pretrained", "graphsage-pretrained-values")
    target = Target("auc", None, None, also=(*DEFAULT, *pretrained))
    return Protocol(
        "german-credit" if labels is None else f"german-credit-{labels}",
        f"German credit{few}",
        RISK,
        tuple(range(10)),
        targets=(target,),
        rivals=CLASSIFIERS,
        options_from="" if labels is None else "german-credit",
    )


def _intents(labels: int | None, *published: tuple[str, float]) -> Protocol:
    """Messages; aimed at: with all within half a point of the best one, with few labels above sentence vectors."""
    few = "" if labels is None else f", {labels} of each intent"
    lead = -0.005 if labels is None else 0.0
    return Protocol(
        "banking77" if labels is None else f"banking77-{labels}",
        f"Banking77{few}",
        CLASSES,
        (0, 1, 2) if labels is None else FOLDS,
        published=tuple(Published(name, {"class_accuracy": value}, CASANUEVA) for name, value in published),
        targets=(Target("class_accuracy", None, None, lead=lead, also=(*DEFAULT, "graphsage-tfidf")),),
        rivals=INTENTS,
        options_from="" if labels is None else "banking77",
    )


LOCO_ROWS = (
    _loco("BPR-LinMap", 0.3253, 0.2683, 0.2399, 0.2048, 0.0904, 0.0871),
    _loco("CMF", 0.3754, 0.3071, 0.2564, 0.2097, 0.0967, 0.0793),
    _loco("CBF-KNN", 0.5339, 0.4508, 0.3965, 0.3232, 0.1439, 0.1677),
    _loco("LoCo", 0.5811, 0.4809, 0.4187, 0.3398, 0.1542, 0.1780),
)

PROTOCOLS = (
    Protocol(
        "ml-100k-agnn",
        "Ratings of unseen users, MovieLens-100K, AGNN's split",
        ("rmse", "mae"),
        plain="biases-informed",
        published=(
            _ratings("AGNN, last epoch", 1.0441, 0.8469, AGNN),
            _ratings("AGNN, epoch chosen on the test set", 1.0230, 0.8204, AGNN),
        ),
        reference_scores=(
            ReferenceScore("global-mean", "rmse", 1.1451, 0.0005),
            ReferenceScore("item-mean", "rmse", 1.0223, 0.001),
            ReferenceScore("biases-zero", "rmse", 1.0226, 0.001),
            ReferenceScore("biases", "rmse", 1.0180, 0.001),
            ReferenceScore("biases-attributes", "rmse", 1.0179, 0.003),
            ReferenceScore("global-mean", "mae", 0.9680, 0.0005),
            ReferenceScore("biases-zero", "mae", 0.8115, 0.001),
        ),
        targets=(
            Target("rmse", 1.0180, 1.012),
            Target("mae", 0.8115, 0.808, also=("graphsage-absolute",)),
        ),
    ),
    Protocol(
        "ml-100k-ratings",
        "Ratings of unseen users, MovieLens-100K, five folds",
        ("rmse", "mae"),
        FOLDS,
        plain="biases-informed",
        published=(
            _ratings("Hybrid", 1.0169, 0.8173, HYBRID),
            _ratings("attribute bias", 1.0179, 0.8181, HYBRID),
            _ratings("item and user bias", 1.0210, 0.8218, HYBRID),
            _ratings("SVD", 1.0340, 0.8423, HYBRID),
            _ratings("SVD++", 1.0872, 0.9048, HYBRID),
        ),
    ),
    Protocol(
        "ml-1m-ratings",
        "Ratings of unseen users, MovieLens-1M, five folds",
        ("rmse", "mae"),
        FOLDS,
        plain="biases-informed",
        published=(
            _ratings("Hybrid", 0.9731, None, HYBRID),
            _ratings("attribute bias", 0.9734, None, HYBRID),
            _ratings("item and user bias", 0.9853, None, HYBRID),
            _ratings("SVD", 0.9852, None, HYBRID),
            _ratings("SVD++", 1.0078, None, HYBRID),
        ),
    ),
    Protocol(
        "ml-100k-rated",
        "Order of the items that an unseen user rated, MovieLens-100K",
        ("rated_ndcg@10", "rated_ndcg@5"),
        plain="biases-informed",
        published=(_rated("LambdaMART", 0.6227, 0.6241), _rated("LM-MF-Reg", 0.6503, 0.6581)),
        reference_scores=(
            ReferenceScore("item-mean", "rated_ndcg@5", 0.7041, 0.01),
            ReferenceScore("item-mean", "rated_ndcg@10", 0.7068, 0.01),
        ),
        targets=(Target("rated_ndcg@10", 0.7068, 0.712, also=("graphsage-gain",)),),
    ),
    Protocol(
        "ml-1m-rated",
        "Order of the items that an unseen user rated, MovieLens-1M",
        ("rated_ndcg@10", "rated_ndcg@5"),
        plain="biases-informed",
        published=(_rated("LambdaMART", 0.6092, 0.6453), _rated("LM-MF-Reg", 0.6694, 0.6705)),
        reference_scores=(
            ReferenceScore("item-mean", "rated_ndcg@5", 0.7542, 0.006),
            ReferenceScore("item-mean", "rated_ndcg@10", 0.7491, 0.006),
        ),
        targets=(Target("rated_ndcg@10", 0.7491, 0.756, also=("graphsage-gain",)),),
    ),
    Protocol(
        "hetrec-lastfm",
        "Last.fm, tags and friends",
        LASTFM,
        compared="ndcg@10",
        published=LOCO_ROWS,
        reference_scores=(
            ReferenceScore("popularity", "precision@20", 0.2072, 0.012),
            ReferenceScore("friends-one-hop", "precision@20", 0.3441, 0.012),
            ReferenceScore("tag-cosine", "precision@20", 0.2851, 0.012),
            ReferenceScore("tag-neighbourhood", "precision@20", 0.3167, 0.012),
            ReferenceScore("mixed-neighbourhood", "precision@20", 0.3604, 0.012),
        ),
        targets=(
            Target("precision@1", 0.5921, 0.62),
            Target("precision@20", 0.3604, 0.378),
            Target("map@100", 0.1853, 0.197),
            Target("ndcg@10", 0.5129, 0.535, also=DEFAULT),
        ),
    ),
    Protocol(
        "hetrec-lastfm-friends",
        "Last.fm, friends alone",
        LASTFM,
        compared="ndcg@10",
        published=LOCO_ROWS,
        reference_scores=(ReferenceScore("friends-one-hop", "precision@20", 0.3441, 0.012),),
        targets=(
            Target("precision@20", 0.3441, 0.358),
            Target("map@100", 0.1725, 0.182),
            Target("precision@20", 0.3488, 0.375, also=DEFAULT),
        ),
    ),
    Protocol(
        "hetrec-lastfm-tags",
        "Last.fm, tags alone",
        LASTFM,
        compared="ndcg@10",
        published=LOCO_ROWS,
        reference_scores=(
            ReferenceScore("tag-cosine", "precision@20", 0.2851, 0.012),
            ReferenceScore("tag-neighbourhood", "precision@20", 0.3167, 0.012),
        ),
    ),
    Protocol(
        "heater-lastfm",
        "Last.fm, Heater's split, friends alone",
        ("ndcg@20", "precision@20", "recall@20", "ndcg@100"),
        reference_scores=(
            ReferenceScore("popularity", "ndcg@20", 0.2346, 0.004),
            ReferenceScore("friends-one-hop", "ndcg@20", 0.3750, 0.012),
            ReferenceScore("mixed-neighbourhood", "ndcg@20", 0.3880, 0.012),
        ),
        targets=(Target("ndcg@20", 0.388, 0.405), Target("ndcg@20", 0.3995, 0.420, also=DEFAULT)),
    ),
    Protocol(
        "ml-100k",
        "MovieLens-100K, demographics",
        LISTS,
        groups=("gender", "age"),
        profile={"age": 25, "gender": "F", "occupation": "artist"},
        reference_scores=(ReferenceScore("popularity", "ndcg@10", 0.4070, 0.012),),
        targets=(Target("ndcg@10", 0.4176, 0.424),),
    ),
    Protocol(
        "ml-1m",
        "MovieLens-1M, demographics",
        LISTS,
        groups=("gender", "age"),
        reference_scores=(
            ReferenceScore("popularity", "ndcg@10", 0.4023, 0.008),
            ReferenceScore("segment-popularity", "ndcg@10", 0.4174, 0.01),
        ),
        targets=(Target("ndcg@10", 0.4174, 0.425), Target("ndcg@10", 0.4236, 0.427, also=DEFAULT)),
    ),
    Protocol(
        "renttherunway",
        "Rent The Runway, body measures",
        LISTS,
        (0,),
        groups=("body_type",),
        reference_scores=(ReferenceScore("popularity", "ndcg@10", 0.0567, 0.004),),
        targets=(Target("ndcg@10", 0.0690, 0.0720),),
    ),
    Protocol(
        "renttherunway-knots",
        "Rent The Runway, numbers between knots",
        LISTS,
        (0,),
        options_from="renttherunway",
    ),
    Protocol(
        "ta-feng",
        "Ta-Feng, age and area",
        ("ndcg@10", "ndcg@20", *LISTS[1:]),
        (0,),
        targets=(Target("ndcg@20", None, None, over_best=0.03),),
    ),
    Protocol(
        "hetrec-lastfm-shots",
        "Last.fm, first listens",
        SHOTS,
        compared="k1/ndcg@10",
        targets=(
            *(Target(metric, None, None) for metric in SHOTS[1:]),
            *(Target(metric, None, None, lead=0.02, also=DEFAULT) for metric in SHOTS[1:]),
        ),
        rivals=("als", "ease", "item-knn", "neighbour-popularity"),
        options_from="hetrec-lastfm",
    ),
    Protocol(
        "ml-1m-shots",
        "MovieLens-1M, first ratings",
        SHOTS,
        compared="k1/ndcg@10",
        targets=(
            Target("k1/ndcg@10", 0.398, 0.455),
            Target("k2/ndcg@10", 0.430, 0.480),
            Target("k5/ndcg@10", 0.496, 0.520),
            Target("k10/ndcg@10", 0.507, 0.540),
            Target("k1/ndcg@10", 0.3994, 0.440, also=DEFAULT),
            Target("k2/ndcg@10", 0.4419, 0.475, also=DEFAULT),
            Target("k5/ndcg@10", 0.5061, 0.520, also=DEFAULT),
            Target("k10/ndcg@10", 0.5304, 0.555, also=DEFAULT),
        ),
        rivals=("als", "als-attribute-map", "bpr", "bpr-attribute-map", "ease", "item-knn", "segment-popularity"),
        options_from="ml-1m",
    ),
    Protocol("ml-1m-items", "MovieLens-1M, unseen films", LISTS),
    Protocol("ml-1m-items-all", "MovieLens-1M, unseen films among all", LISTS, options_from="ml-1m-items"),
    Protocol("ml-1m-both", "MovieLens-1M, unseen users and unseen films", SHOTS, compared="k1/ndcg@10"),
    Protocol("ml-1m-groups", "MovieLens-1M, women and men", OF_GROUPS, plain="graphsage", reference="graphsage"),
    Protocol("ml-1m-lists", "MovieLens-1M, lists in another order", BESIDES, plain="graphsage", reference="graphsage"),
    Protocol(
        "ml-1m-values", "MovieLens-1M, occupations that training never saw", ("ndcg@10",), FOLDS, reference="popularity"
    ),
    Protocol("ml-1m-privacy", "MovieLens-1M, differential privacy of users", LISTS, reference="graphsage"),
    Protocol(
        "ta-feng-privacy",
        "Ta-Feng, differential privacy of users",
        ("ndcg@10", "ndcg@20", *LISTS[1:]),
        (0,),
        reference="segment-popularity",
    ),
    _newcomers("filmtrust", "FilmTrust, trust", SHOTS, FOLDS),
    _newcomers("ciao-dvd", "CiaoDVD, trust", LISTS),
    _newcomers("complete-journey", "The Complete Journey, demographics", SHOTS),
    Protocol("ta-feng-shots", "Ta-Feng, first purchases", SHOTS, (0,), compared="k1/ndcg@10", options_from="ta-feng"),
    Protocol(
        "hetrec-lastfm-1",
        "Last.fm, 1 % of the training users",
        LASTFM,
        compared="ndcg@10",
        options_from="hetrec-lastfm",
    ),
    Protocol(
        "hetrec-lastfm-10",
        "Last.fm, 10 % of the training users",
        LASTFM,
        compared="ndcg@10",
        options_from="hetrec-lastfm",
    ),
    _next("ml-100k", "MovieLens-100K", (0, 1, 2)),
    _next("ta-feng", "Ta-Feng"),
    _next("complete-journey", "The Complete Journey"),
    Protocol(
        "ml-100k-later",
        "MovieLens-100K, all that newcomers still rate",
        SHOTS,
        (0, 1, 2),
        compared="k5/ndcg@10",
        options_from="ml-100k-next",
    ),
    Protocol(
        "ml-100k-events",
        "Kinds and times of events, MovieLens-100K",
        SHOTS,
        compared="k5/ndcg@10",
        plain="graphsage-dot",
        reference="graphsage-dot",
    ),
    Protocol(
        "ml-100k-pretext",
        "Pretext tasks, MovieLens-100K",
        SHOTS,
        compared="k1/ndcg@10",
        plain="graphsage-no-pretraining",
        reference="graphsage-no-pretraining",
    ),
    *(
        Protocol(
            f"{data}-federated",
            f"Users who stay with their clients, {title}",
            LISTS,
            plain="central",
            reference="central",
        )
        for data, title in (("ml-100k", "MovieLens-100K"), ("ml-1m", "MovieLens-1M"))
    ),
    *(_transfer("ml-100k", "MovieLens-100K", share) for share in (1, 5, 20, 100)),
    *(_transfer("ml-1m", "MovieLens-1M", share) for share in (1, 5, 20, 100)),
    *(_transfer("filmtrust", "FilmTrust", share) for share in (1, 5, 20, 100)),
    *(_transfer("ciao-dvd", "CiaoDVD", share) for share in (1, 5, 20)),
    *(_transfer("complete-journey", "The Complete Journey", share, (0, 1, 2)) for share in (1, 5, 20)),
    *(_transfer("ta-feng", "Ta-Feng", share, (0, 1, 2)) for share in (1, 5, 20)),
    *(
        _transfer(data, title, 100, (0,))  # an hour each
        for data, title in (
            ("ciao-dvd", "CiaoDVD"),
            ("complete-journey", "The Complete Journey"),
            ("ta-feng", "Ta-Feng"),
        )
    ),
    _ablation("hetrec-lastfm", "Parts of the graph model, Last.fm with tags and friends", LASTFM),
    _ablation("ml-1m", "Parts of the graph model, MovieLens-1M", LISTS),
    Protocol("hetrec-lastfm-models", "The field's models, Last.fm with tags and friends", LASTFM, compared="ndcg@10"),
    Protocol("ml-1m-models", "The field's models, MovieLens-1M, first ratings", SHOTS, compared="k1/ndcg@10"),
    _credit(),
    *(_credit(labels) for labels in (50, 100, 200)),
    _intents(None, ("BERT, fine-tuned", 0.9366), ("USE and ConveRT", 0.9336), ("ConveRT", 0.9301), ("USE", 0.9281)),
    _intents(1),
    _intents(5),
    _intents(10, ("USE and ConveRT", 0.8519), ("USE", 0.8423), ("BERT, fine-tuned", 0.8342), ("ConveRT", 0.8332)),
    _layers("hetrec-lastfm", "Layers of the encoder, Last.fm with tags and friends", LASTFM),
    _layers("ml-100k", "Layers of the encoder, MovieLens-100K", LISTS),
)


def protocol_named(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        KeyError: there is none.
    """
    return {protocol.name: protocol for protocol in PROTOCOLS}[name]
