/** How the reference looks: in the browser's own fonts, light or dark as its reader has it, on paper too. */
export const STYLE = `
:root { color-scheme: light dark; --line: #d8dee4; --soft: #f5f7f9; --faint: #57606a; --link: #0a58ca; --get: #1a7f37; --post: #0a58ca; --patch: #9a6700; --delete: #b42318 }
@media (prefers-color-scheme: dark) { :root { --line: #30363d; --soft: #161b22; --faint: #9198a1; --link: #6cb6ff; --get: #57ab5a; --post: #6cb6ff; --patch: #d4a72c; --delete: #f47067 } body { background: #0d1117; color: #e6edf3 } }
* { box-sizing: border-box }
html { scroll-padding-top: 1rem }
body { margin: 0; font: 15px/1.55 system-ui, sans-serif; display: grid; grid-template-columns: 20rem minmax(0, 1fr) }
nav { position: sticky; top: 0; height: 100vh; overflow-y: auto; padding: 1rem 1.25rem 2rem; border-right: 1px solid var(--line); font-size: 13px }
nav h2 { font-size: 12px; text-transform: uppercase; letter-spacing: .06em; color: var(--faint); margin: 1.25rem 0 .25rem }
nav ul { list-style: none; margin: 0; padding: 0 }
nav li a { display: flex; gap: .5rem; align-items: baseline; padding: .15rem 0; color: inherit; overflow-wrap: anywhere }
nav .method { flex: 0 0 3.4rem; text-align: right; font-size: 10px }
main { padding: 1.5rem 2.5rem 4rem; max-width: 68rem }
a { color: var(--link); text-decoration: none } a:hover { text-decoration: underline }
h1 { font-size: 1.7rem; margin: 0 } h2 { margin: 3rem 0 .5rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line) }
h3 { margin: 2.25rem 0 .25rem; font-size: 1.05rem } h3 a { color: inherit } h4 { margin: 1rem 0 .25rem; font-size: .85rem; color: var(--faint) }
p { margin: .4rem 0 } code { font: .92em ui-monospace, monospace; overflow-wrap: anywhere }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 6px; padding: .75rem 1rem; overflow-x: auto }
.method { font: 600 12px ui-monospace, monospace } .get { color: var(--get) } .post { color: var(--post) } .patch { color: var(--patch) } .delete { color: var(--delete) }
.scope { font-size: 12px; color: var(--faint); border: 1px solid var(--line); border-radius: 1rem; padding: .05rem .6rem; white-space: nowrap }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; vertical-align: top; padding: .35rem .75rem .35rem 0; border-top: 1px solid var(--line); font-weight: normal }
tr:first-child > th, tr:first-child > td { border-top: 0 } .fields > tbody > tr > th { width: 15rem } .answers > tbody > tr > th { width: 4rem } .codes > tbody > tr > th { width: 15rem }
.type, .limits, .where { font-size: 13px; color: var(--faint) } .required { font-size: 12px; color: var(--delete) }
details { margin-top: .25rem } summary { cursor: pointer; font-size: 13px; color: var(--faint) } details > table, .variant { border-left: 2px solid var(--line); padding-left: .75rem; margin: .35rem 0 } .variant { margin: .9rem 0 } details > table { display: block }
:target { background: var(--soft) }
@media (max-width: 56rem) { body { display: block } nav { position: static; height: auto; max-height: 45vh; border-right: 0; border-bottom: 1px solid var(--line) } main { padding: 1rem } .fields > tbody > tr > th, .codes > tbody > tr > th { width: 35% } }
@media print { nav { display: none } body { display: block } }
`;
