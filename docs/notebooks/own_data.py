"""
Your own data
=============

Test.
"""

# %%
# Comment with `code`.

import pandas as pd

pd.DataFrame({"a": [1, 2]})
