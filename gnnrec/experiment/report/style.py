"""The look of a report: light and dark, wide and narrow, on the screen and on paper."""

SERIES = (
    ("#0072b2", "#5ab4f0"),
    ("#c25400", "#ff9e57"),
    ("#007f5c", "#35d0a5"),
    ("#a8497f", "#e79ac6"),
    ("#946800", "#f0c050"),
    ("#2a7cab", "#9fd4f7"),
    ("#111111", "#f2f2f2"),
    ("#6b6b6b", "#a8a8a8"),
)
"""Colours of lines on light and on dark ground: near to Okabe and Ito's, each with a contrast of 3 or more."""


def _variables(ground: int) -> str:
    return "".join(f"--series-{number}:{pair[ground]};" for number, pair in enumerate(SERIES, start=1))


_LIGHT = f"--ground:#fff;--text:#1b1b1b;--soft:#595959;--line:#d0d0d0;--box:#f5f5f5;--hit:#e2f2e6;{_variables(0)}"
_DARK = f"--ground:#161618;--text:#ececec;--soft:#b0b0b0;--line:#44444a;--box:#212124;--hit:#1d3b28;{_variables(1)}"

STYLE = (
    f"""
:root{{color-scheme:light dark;{_LIGHT}}}
@media (prefers-color-scheme:dark){{:root{{{_DARK}}}}}
"""
    + """
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
main{max-width:64rem;margin:0 auto;padding:1rem}
h1,h2,h3,h4,h5{line-height:1.25;margin:2rem 0 .5rem}
h1{margin-top:.5rem}
h2{border-top:2px solid var(--line);padding-top:1.5rem}
h4{margin-top:1.25rem}
h5{margin:0;font-size:1rem}
p{margin:.5rem 0;max-width:46rem}
a{color:inherit}
nav ul{padding-left:1.25rem;margin:.25rem 0}
.note{border-left:4px solid var(--series-2);padding:.25rem .75rem;background:var(--box)}
.soft,figcaption,caption,small{color:var(--soft)}
small{font-size:.875rem}
.wide{overflow-x:auto;margin:.75rem 0}
table{border-collapse:collapse;font-size:.9375rem;font-variant-numeric:tabular-nums}
caption{text-align:left;padding-bottom:.375rem;font-size:.875rem}
caption>span{display:block;position:sticky;left:0;max-width:min(62rem,calc(100vw - 2rem))}
th,td{padding:.25rem .75rem;border-bottom:1px solid var(--line);text-align:right;vertical-align:top;
overflow-wrap:normal;white-space:nowrap}
th:first-child{text-align:left;padding-left:0}
dl{margin:.5rem 0}
dl>div{display:grid;grid-template-columns:minmax(7rem,11rem) 1fr;gap:.125rem 1rem}
dt{color:var(--soft)}
dd{margin:0}
figure{margin:1rem 0}
figcaption{font-size:.875rem;max-width:46rem}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,19rem),1fr));gap:.5rem 1.5rem}
svg{display:block;width:100%;height:auto;max-width:30rem;fill:currentColor;stroke-linejoin:round;stroke-linecap:butt}
svg text{font-family:inherit!important}
details{margin:.5rem 0}
summary{cursor:pointer}
details.user{border:1px solid var(--line);border-radius:.375rem;padding:.5rem .75rem}
details.user>summary{font-weight:600}
.lists{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,17rem),1fr));gap:1rem}
.lists ol{padding-left:2rem;margin:.25rem 0}
.lists li{padding:.125rem .375rem;border-radius:.25rem}
.lists li.hit{background:var(--hit)}
.lists small{display:block;line-height:1.3}
pre{background:var(--box);padding:.75rem;overflow-x:auto;font-size:.8125rem}
:focus-visible{outline:2px solid var(--series-1);outline-offset:2px}
@media (max-width:40rem){dl>div{grid-template-columns:1fr}dd{margin-bottom:.375rem}}
"""
    + f"""
@media print{{
:root{{color-scheme:light;{_LIGHT}}}
main{{max-width:none;padding:0}}
body{{font-size:10pt}}
.wide,pre{{overflow:visible}}
table{{font-size:6.5pt}}
caption,small,.soft,figcaption{{font-size:8pt}}
th,td{{white-space:normal;overflow-wrap:anywhere;padding:.125rem .25rem}}
pre{{white-space:pre-wrap;columns:3;font-size:7pt}}
svg{{max-width:12cm}}
figure,tr,li,details.user>dl{{break-inside:avoid}}
h2,h3,h4,summary{{break-after:avoid}}
details::details-content{{content-visibility:visible;block-size:auto}}
}}
"""
)
