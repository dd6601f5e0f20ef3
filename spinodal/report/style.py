"""The style sheet of the report: one column of text, figures beside each other where there is room."""

from spinodal.figures import css_colours

CSS = (
    css_colours()
    + """
:root{
  --sans:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif;
  --mono:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono","Liberation Mono",monospace;
}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 var(--sans)}
main{max-width:1140px;margin:0 auto;padding:3.5rem 1.5rem 4rem}
h1{font-size:2.1rem;line-height:1.2;letter-spacing:-.02em;font-weight:650;margin:0 0 .35rem}
h2{font-size:1.3rem;letter-spacing:-.01em;font-weight:650;margin:3.6rem 0 .5rem}
p{margin:.4rem 0;max-width:44rem}
.eyebrow{font-size:.8rem;letter-spacing:.08em;text-transform:uppercase;color:var(--muted);margin:0 0 .6rem}
.lead{font-size:1.1rem;color:var(--muted)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1.4rem;margin:1.8rem 0 0;
  padding:1rem 0;border-block:1px solid var(--rule);font-size:.9rem}
dt{color:var(--muted)}
dd{margin:0;min-width:0;overflow-wrap:anywhere}
code{font:.92em var(--mono)}
.note{border-left:3px solid var(--model-1);padding:.15rem 0 .15rem .9rem;margin:1rem 0 0;font-size:.95rem}
.scroll{overflow-x:auto;margin:1.1rem 0}
table{border-collapse:collapse;font-size:.92rem;font-variant-numeric:tabular-nums;width:100%}
th,td{padding:.5rem .9rem;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}
th{color:var(--muted);font-weight:500;font-size:.82rem;vertical-align:bottom;line-height:1.35;white-space:normal}
th:first-child,td:first-child{text-align:left;padding-left:0}
th:last-child,td:last-child{padding-right:0}
td b{font-weight:650}
.settings td,.settings th{text-align:left;font-size:.86rem;padding:.3rem .9rem .3rem 0}
.model::before{content:"";display:inline-block;width:.62em;height:.62em;border-radius:50%;
  margin-right:.55em;background:var(--dot)}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:2rem 3rem;
  align-items:start;margin:1.4rem 0}
figure{margin:0;min-width:0}
figure svg{display:block;width:100%;height:auto;stroke-linejoin:round}
figure.wide svg{min-width:660px}
figure .scroll{margin:0}
figcaption{font-size:.88rem;line-height:1.5;color:var(--muted);margin-top:.5rem;max-width:44rem}
details{margin-top:1rem}
summary{cursor:pointer;color:var(--muted);font-size:.92rem}
footer{margin-top:4rem;padding-top:1rem;border-top:1px solid var(--rule);color:var(--muted);font-size:.82rem}
@media (max-width:600px){
  main{padding:1.8rem 1rem 3rem}
  h1{font-size:1.6rem}
  dl{grid-template-columns:1fr;gap:0}
  dd{margin-bottom:.5rem}
}
@media print{main{max-width:none;padding:0}figure{break-inside:avoid}}
"""
)
