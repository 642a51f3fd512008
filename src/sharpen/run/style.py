"""How the report looks: one style sheet, light and dark, for wide and narrow screens."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --page: #fbfbfa; --box: #ffffff; --ink: #1d1f22; --soft: #5c6470; --edge: #dcdfe4;
  --grid: #e8eaee; --s0: #2563c9; --s1: #c2410c; --s2: #15803d; --s3: #8b3fb8; --s4: #a16207; --s5: #0e7490;
  --good: #15803d; --bad: #b42318; --warn: #9a5b00; --goodbg: #e7f5ec; --badbg: #fdecea; --warnbg: #fdf3e0;
  --notebg: #eaf1fb; --system: #f0edf8; --user: #eef1f4; --assistant: #e9f2fe; --tool: #fbf1e2; --other: #f4f4f4; }
@media (prefers-color-scheme: dark) { :root { --page: #14161a; --box: #1c1f25; --ink: #e6e8eb; --soft: #9aa4b2;
  --edge: #343a44; --grid: #2a2f38; --s0: #7cb0ff; --s1: #ff9d6b; --s2: #6fd08c; --s3: #cf9cf2; --s4: #e3bb5c;
  --s5: #63cfe3; --good: #6fd08c; --bad: #ff8f85; --warn: #f0b95b; --goodbg: #17301f; --badbg: #3a1c1a;
  --warnbg: #35290f;
  --notebg: #1a2739; --system: #2a2438; --user: #252a31; --assistant: #1a2a42; --tool: #362a17; --other: #26282c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif; }
main { max-width: 74rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .6rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .8rem; padding-bottom: .3rem; border-bottom: 1px solid var(--edge); }
h3 { font-size: 1rem; margin: 1.1rem 0 .4rem; }
code { font: .9em ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: nowrap;
  background: var(--grid); border-radius: 4px; padding: .05rem .3rem; }
p { max-width: 68ch; margin: .5rem 0; }
.verdict { font-size: 1.12rem; font-weight: 600; background: var(--box); border: 1px solid var(--edge);
  border-left: 5px solid var(--s0);
  padding: .9rem 1.1rem; max-width: none; border-radius: 6px; }
.story { display: grid; grid-template-columns: minmax(9rem, 13rem) 1fr; margin: .9rem 0; background: var(--box);
  border: 1px solid var(--edge); border-radius: 6px; padding: .3rem 1.1rem .5rem; }
.story dt { font-weight: 650; padding: .45rem 1.2rem .45rem 0; border-top: 1px solid var(--grid); }
.story dd { margin: 0; padding: .45rem 0; border-top: 1px solid var(--grid); }
.story p { margin: 0 0 .25rem; max-width: none; }
.story dt:first-of-type, .story dd:first-of-type { border-top: 0; }
.story dt.up::before { content: "▲ "; color: var(--good); } .story dt.down::before { content: "▼ "; color: var(--bad); }
.story dt.up, .story dt.down, .story dt.unclear { color: inherit; }
.soft, .about { color: var(--soft); font-size: .88rem; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: .8rem 0; font-size: .92rem; }
a { color: var(--s0); }
:focus-visible { outline: 3px solid var(--s0); outline-offset: 2px; border-radius: 3px; }
.scroll { overflow-x: auto; background: var(--box); border: 1px solid var(--edge); border-radius: 6px;
  margin: .6rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; font-variant-numeric: tabular-nums; }
th, td { padding: .38rem .7rem; text-align: left; vertical-align: middle; border-top: 1px solid var(--grid); }
thead th { border-top: 0; color: var(--soft); font-weight: 600; font-size: .85rem; white-space: nowrap; }
tbody th { font-weight: 500; }
.numbers td, .numbers th + th { text-align: right; white-space: nowrap; }
.up { color: var(--good); font-weight: 650; } .down { color: var(--bad); font-weight: 650; }
.unclear { color: var(--soft); }
svg { display: block; width: 100%; height: auto; }
svg text { font-size: 10.5px; fill: var(--soft); font-variant-numeric: tabular-nums; }
.intervals { width: 158px; min-width: 158px; margin-left: auto; }
.grid { stroke: var(--grid); } .axis { stroke: var(--soft); }
.raw { fill: none; stroke-width: 1; opacity: .35; } .mean { fill: none; stroke-width: 2; stroke-linejoin: round; }
.s0 { stroke: var(--s0); } .s1 { stroke: var(--s1); } .s2 { stroke: var(--s2); }
.s3 { stroke: var(--s3); } .s4 { stroke: var(--s4); } .s5 { stroke: var(--s5); }
i.s0 { background: var(--s0); } i.s1 { background: var(--s1); } i.s2 { background: var(--s2); }
i.s3 { background: var(--s3); } i.s4 { background: var(--s4); } i.s5 { background: var(--s5); }
.hit { fill: transparent; } .hit:hover { fill: var(--soft); opacity: .15; }
.dot { fill: var(--box); stroke-width: 2; }
.bar { stroke-width: 3; stroke-linecap: round; } .bar.before { stroke: var(--soft); } .bar.after { stroke: var(--s0); }
.band { stroke: none; opacity: .16; } .band.before { fill: var(--soft); } .band.after { fill: var(--s0); }
.side { fill: none; stroke-width: 2; stroke-linejoin: round; } .side.before { stroke: var(--soft); }
.side.after { stroke: var(--s0); } .side.thin { stroke-width: 1; opacity: .6; }
.diagonal { stroke: var(--soft); stroke-dasharray: 3 4; }
i.before { background: var(--soft); } i.after { background: var(--s0); }
.mark.before { fill: var(--box); stroke: var(--soft); stroke-width: 2; } .mark.after { fill: var(--s0); }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19.5rem), 1fr)); gap: .9rem; }
figure { margin: 0; background: var(--box); border: 1px solid var(--edge); border-radius: 6px;
  padding: .6rem .7rem .4rem; }
figcaption { font-size: .92rem; margin-bottom: .3rem; } figcaption .about { margin-left: .5rem; }
.keys { font-size: .82rem; color: var(--soft); display: flex; flex-wrap: wrap; gap: .1rem .9rem;
  padding: .1rem 0 .2rem; }
.key i { display: inline-block; width: .8rem; height: .2rem; margin-right: .35rem; vertical-align: middle; }
.finding { border: 1px solid var(--edge); border-left-width: 5px; border-radius: 6px; padding: .6rem 1rem;
  margin: .6rem 0;
  background: var(--notebg); }
.finding h3 { margin: 0; font-size: 1rem; } .finding p { margin: .25rem 0 0; max-width: none; }
.finding.warning { background: var(--warnbg); border-left-color: var(--warn); }
.finding.stop { background: var(--badbg); border-left-color: var(--bad); }
.finding.note { border-left-color: var(--s0); }
.word { font-size: .74rem; letter-spacing: .05em; text-transform: uppercase; font-weight: 700; margin-right: .6rem; }
.warning .word { color: var(--warn); } .stop .word { color: var(--bad); } .note .word { color: var(--s0); }
details { background: var(--box); border: 1px solid var(--edge); border-radius: 6px; margin: .5rem 0;
  padding: 0 .9rem; }
summary { cursor: pointer; padding: .5rem 0; overflow-wrap: anywhere; } details[open] { padding-bottom: .8rem; }
pre, .said { font: .86rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; unicode-bidi: isolate; }
pre { background: var(--page); border: 1px solid var(--edge); border-radius: 5px; padding: .6rem .8rem;
  margin: .4rem 0; }
.sides { display: grid; grid-template-columns: 1fr 1fr; gap: .8rem; } .sides > div { min-width: 0; }
.sides h4 { margin: .4rem 0 0; font-size: .88rem; }
@media (max-width: 40rem) { .sides { grid-template-columns: 1fr; } main { padding: 1rem .7rem 3rem; }
  h1 { font-size: 1.4rem; } .story { grid-template-columns: 1fr; padding: .3rem .8rem .5rem; }
  .story dt { padding-bottom: 0; } .story dd { border-top: 0; padding-top: .1rem; }
  th, td { padding: .3rem .45rem; } td .soft { display: block; } }
.badge { display: inline-block; font-size: .8rem; border-radius: 1rem; padding: .05rem .55rem; margin: 0 .35rem .2rem 0;
  background: var(--user); white-space: nowrap; } .badge.yes { background: var(--goodbg); color: var(--good); }
.key-system { background: var(--system); } .key-user { background: var(--user); }
.key-assistant { background: var(--assistant); } .key-tool { background: var(--tool); }
.badge.no { background: var(--badbg); color: var(--bad); }
article { border-top: 1px solid var(--grid); padding: .6rem 0 .2rem; } article:first-of-type { border-top: 0; }
.seg { display: block; padding: .25rem .6rem; margin: .15rem 0; border-left: 4px solid var(--edge);
  border-radius: 3px; }
.seg.system { background: var(--system); border-left-color: var(--s3); }
.seg.user { background: var(--user); border-left-color: var(--soft); }
.seg.assistant { background: var(--assistant); border-left-color: var(--s0); }
.seg.tool { background: var(--tool); border-left-color: var(--s4); } .seg.other { background: var(--other); }
.who { display: block; font: .74rem/1.4 system-ui, sans-serif; color: var(--soft); }
.p1 { background: color-mix(in srgb, var(--good) 12%, transparent); }
.n1 { background: color-mix(in srgb, var(--bad) 12%, transparent); }
.p2 { background: color-mix(in srgb, var(--good) 28%, transparent); }
.n2 { background: color-mix(in srgb, var(--bad) 28%, transparent); }
.p3 { background: color-mix(in srgb, var(--good) 48%, transparent); }
.n3 { background: color-mix(in srgb, var(--bad) 48%, transparent); }
@media print { details { break-inside: avoid; } nav { display: none; } }
"""
"""The whole style sheet; it names no file and no address."""
