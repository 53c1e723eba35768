/**
 * `capybara` from the sources, for development: `npm run capybara -- run "..."`.
 */
import './compile-cache.js';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const { execute, settings } = await import('@oclif/core');
await import('./outputs.js');

settings.enableAutoTranspile = false;

const root = fileURLToPath(new URL('..', import.meta.url));
const pjson = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
// Commands, hooks and help are where the package has them, in `src` instead of `dist`.
pjson.oclif = JSON.parse(JSON.stringify(pjson.oclif).replaceAll('"./dist/', '"./src/'));

// Not awaited: see run.js.
void execute({ loadOptions: { root, pjson, ignoreManifest: true, userPlugins: false } });
