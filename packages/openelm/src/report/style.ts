/** The report's look, in light and dark. */
export const STYLE = `
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #dde3ea; --paper: #fff; --a: #2563a8; --b: #d0692b; --c: #2f8f5b; --pale: #b9cfe6; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e9ef; --soft: #98a4b3; --line: #303944; --paper: #14181d; --a: #6aa9ec; --b: #f0955c; --c: #62c391; --pale: #3a5676; }
}
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1100px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 26px; margin: 8px 0 4px; }
h2 { font-size: 18px; margin: 36px 0 10px; border-bottom: 1px solid var(--line); padding-bottom: 4px; }
h3 { font-size: 14px; margin: 0 0 4px; color: var(--soft); }
p { margin: 4px 0 12px; color: var(--soft); }
figure { margin: 0; }
figcaption { font-weight: 600; margin: 0 0 4px; }
svg { width: 100%; height: auto; font: 11px system-ui, sans-serif; }
svg text { fill: var(--soft); }
svg .label { font-style: italic; }
.grid { stroke: var(--line); }
.axis { stroke: var(--soft); }
svg path { fill: none; stroke-width: 1.8; stroke: var(--a); }
svg .s1 path { stroke: var(--b); }
svg .s2 path { stroke: var(--c); }
svg .s2 circle { fill: var(--c); }
svg .faint path { stroke: var(--pale); stroke-width: 1; }
.key { font-weight: 400; font-size: 12px; color: var(--soft); margin-left: 14px; }
.key::before { content: ""; display: inline-block; width: 14px; height: 3px; margin-right: 5px; vertical-align: middle; background: var(--a); }
.key.s1::before { background: var(--b); }
.key.s2::before { background: var(--c); }
.key.faint::before { background: var(--pale); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(400px, 1fr)); gap: 24px; }
.wide svg { max-width: 800px; }
svg .q { fill: var(--pale); }
svg .kv { fill: var(--a); }
svg .ffn { fill: var(--c); }
table { border-collapse: collapse; }
td, th { text-align: left; vertical-align: top; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line); }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(400px, 1fr)); gap: 24px; }
.facts td:first-child { color: var(--soft); }
.answers { overflow-x: auto; }
.answers td { min-width: 180px; }
.answers td:first-child, .answers th:first-child { min-width: 60px; white-space: nowrap; }
.bars table { width: 100%; }
.bars td { vertical-align: middle; white-space: nowrap; }
.bars td:nth-child(1) { width: 30%; }
.bars td:nth-child(2) { width: 45%; }
.bar { height: 14px; border-radius: 2px; background: var(--pale); }
.bar.own { background: var(--a); }
small { color: var(--soft); }
code { font: 13px ui-monospace, monospace; background: color-mix(in srgb, var(--line) 50%, transparent); padding: 2px 6px; border-radius: 4px; }
`;
