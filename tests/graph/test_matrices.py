"""The columns that stand for users, against numbers worked by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from gnnrec.errors import ConfigError
from gnnrec.graph.matrices import UserFeatures, as_csr_matrix, histories, links, training_rows
from gnnrec.views import Edges, Features, TrainingData, UserBatch

TAG, CITY, FRIEND = ("user", "tag", "tag"), ("user", "city", "city"), ("user", "friend", "user")


def edges(*pairs: tuple[int, int], weight: list[float] | None = None) -> Edges:
    row, node = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T
    return Edges(row, node, None if weight is None else torch.tensor(weight))


# Four training users. User 0 gave tag 0 once and tag 2 three times and lives in city 1; user 1 gave tag 0 once and
# lives in city 0; user 2 gave tag 0 and 1 once; of user 3 nothing is known. Users 0 and 2 are friends.
USERS = UserBatch(
    torch.tensor([10, 11, 12, 13]),
    edges((0, 0), (0, 1), (1, 1), weight=[5.0, 3.0, 1.0]),
    {
        TAG: edges((0, 0), (0, 2), (1, 0), (2, 0), (2, 1), weight=[1.0, 3.0, 1.0, 1.0, 1.0]),
        CITY: edges((0, 1), (1, 0)),
        FRIEND: edges((0, 2), (2, 0)),
    },
)
TRAIN = TrainingData(
    USERS,
    {"item": pd.Index(["a", "b", "c"]), "tag": pd.Index(["x", "y", "z"]), "city": pd.Index(["p", "q"])},
    (),
    {},
    torch.tensor([True, True, False]),
)


def test_a_column_for_each_value_relation_after_relation() -> None:
    assert UserFeatures(TRAIN)(USERS).toarray().tolist() == [
        [1, 0, 1, 0, 1],
        [1, 0, 0, 1, 0],
        [1, 1, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]


def test_friends_are_columns_after_the_attributes() -> None:
    features = UserFeatures(TRAIN, friends=True)(USERS).toarray()
    assert features.shape == (4, 5 + 4)
    assert features[:, 5:].tolist() == [[0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


def test_only_the_named_attributes() -> None:
    assert UserFeatures(TRAIN, attributes=["city"])(USERS).toarray().tolist() == [[0, 1], [1, 0], [0, 0], [0, 0]]
    assert UserFeatures(TRAIN, attributes=[]).width == 0


def test_an_unknown_attribute_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"attributes: 'zip' is no attribute of the users; there are \['tag', 'city'\]"
    ):
        UserFeatures(TRAIN, attributes=["zip"])


def test_edge_weights_are_kept_or_logged_and_an_edge_without_weight_counts_1() -> None:
    assert UserFeatures(TRAIN, edge_weights="keep")(USERS).toarray()[0].tolist() == [1, 0, 3, 0, 1]
    # log(1 + 1) = .6931, log(1 + 3) = 1.3863; the city has no weight
    assert UserFeatures(TRAIN, edge_weights="log")(USERS).toarray()[0] == pytest.approx(
        [0.6931, 0, 1.3863, 0, 1], abs=1e-4
    )


def test_idf_counts_training_users() -> None:
    # tag 0 has three of four users: log(4/3) = .2877; tag 2 and city 1 have one of four: log 4 = 1.3863
    assert UserFeatures(TRAIN, idf=True)(USERS).toarray()[0] == pytest.approx([0.2877, 0, 1.3863, 0, 1.3863], abs=1e-4)


@pytest.mark.filterwarnings("error")
def test_rows_are_divided_by_their_sum_or_length_and_an_empty_row_stays() -> None:
    by_sum = UserFeatures(TRAIN, normalise="sum")(USERS).toarray()
    assert by_sum[1].tolist() == [0.5, 0, 0, 0.5, 0]
    # row 0 has three ones: length sqrt(3), 1 / sqrt(3) = .5774
    by_length = UserFeatures(TRAIN, normalise="length")(USERS).toarray()
    assert by_length[0] == pytest.approx([0.5774, 0, 0.5774, 0, 0.5774], abs=1e-4)
    assert not by_sum[3].any()
    assert not by_length[3].any()


def test_a_batch_of_other_users_is_laid_out_in_the_columns_of_the_training_data() -> None:
    stranger = UserBatch(torch.tensor([-1]), edges(), {TAG: edges((0, 2), weight=[3.0])})  # no city, no friends at all
    assert UserFeatures(TRAIN, friends=True)(stranger).toarray().tolist() == [[0, 0, 1, 0, 0, 0, 0, 0, 0]]


def test_histories_links_and_rows() -> None:
    assert histories(USERS, 3).toarray().tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert histories(USERS, 3, "keep").toarray()[0].tolist() == [5, 3, 0]
    assert links(USERS, TRAIN).toarray().tolist() == [[0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    asked = UserBatch(torch.tensor([12, -1, 99, 10]), edges(), {})
    assert training_rows(asked, TRAIN).tolist() == [2, -1, -1, 0]


def test_compiled_libraries_get_32_bit_indices() -> None:
    matrix = as_csr_matrix(histories(USERS, 3, "keep"))
    assert (matrix.dtype, matrix.indices.dtype, matrix.indptr.dtype) == (np.float32, np.int32, np.int32)
    assert matrix.toarray()[0].tolist() == [5, 3, 0]


def test_the_words_of_values_follow_and_a_value_that_nobody_has_counts_by_them_alone() -> None:
    words = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 3.0], [9.0, 9.0]])
    train = replace(
        TRAIN,
        ids={**TRAIN.ids, "tag": pd.Index(["x", "y", "z", "new"])},
        values=(Features("tag", "tag", words, torch.ones(4, dtype=torch.bool)),),
    )
    features = UserFeatures(train)
    assert features.width == 4 + 2 + 2
    assert features(USERS).toarray()[[0, 3]].tolist() == [[1, 0, 1, 0, 0, 1, 0.5, 1.5], [0] * 8]
    stranger = UserBatch(torch.tensor([-1]), edges(), {TAG: edges((0, 3), (0, 0), weight=[3.0, 1.0])})
    assert features(stranger).toarray().tolist() == [[1, 0, 0, 0, 0, 0, 5, 4.5]]
    assert UserFeatures(train, attributes=["city"]).width == 2
