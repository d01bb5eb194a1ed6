"""What a service counts, as Prometheus reads it."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from gnnrec.serving.vocabulary import Kinds

disable_created_metrics()  # type: ignore[no-untyped-call]
SECONDS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
RANKS = (1, 2, 3, 5, 10, 20, 50, 100)


class Metrics:
    """The counters of one service."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self.requests = Counter("gnnrec_requests", "Requests.", ["route", "method", "status"], registry=own)
        self.seconds = Histogram("gnnrec_request_seconds", "Seconds.", ["route"], buckets=SECONDS, registry=own)
        self.lists = Counter("gnnrec_lists", "Lists, by what they came from.", ["model", "source"], registry=own)
        self.clicks = Counter(
            "gnnrec_clicks", "New events on an item of the list that they name.", ["model", "kind"], registry=own
        )
        self.clicked = Counter("gnnrec_lists_clicked", "Lists with such an event.", ["model"], registry=own)
        self.rank = Histogram("gnnrec_click_rank", "Rank of the item.", ["model"], buckets=RANKS, registry=own)
        self.events = Counter("gnnrec_events", "New events.", ["kind"], registry=own)
        self.unknown = Counter("gnnrec_unknown", "New events of what the model does not know.", ["what"], registry=own)
        self.refused = Counter("gnnrec_refused", "Requests that were refused.", ["why"], registry=own)
        self.waiting = Gauge("gnnrec_waiting", "Requests that wait or are worked on.", registry=own)
        self.lost = Counter("gnnrec_lists_not_kept", "Shown lists that could not be stored.", registry=own)
        self.overlap = Histogram(
            "gnnrec_shadow_overlap",
            "Share of a list that the shadow has, too.",
            ["model"],
            buckets=[part / 10 for part in range(11)],
            registry=own,
        )
        self.models = Gauge("gnnrec_model", "Models in service.", ["role", "name", "version"], registry=own)

    def text(self) -> bytes:
        """In Prometheus' format."""
        return generate_latest(self.registry)


def kind_label(kind: str, kinds: Kinds) -> str:
    """A label for a kind of event: one of training's, `choice` for the only one, or `other`."""
    if kind in ("", kinds.predicted):
        return kinds.predicted or "choice"
    return kind if kind in kinds.weights else "other"
