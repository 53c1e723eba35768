/**
 * `capybara` from the sources, for development: `npm run capybara -- run "..."`.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { execute, settings } from '@oclif/core';

settings.enableAutoTranspile = false;

const root = fileURLToPath(new URL('..', import.meta.url));
const pjson = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
pjson.oclif.commands.target = './src/cli/commands';
pjson.oclif.helpClass = './src/cli/help';

await execute({ loadOptions: { root, pjson, ignoreManifest: true } });
