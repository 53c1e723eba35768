#!/usr/bin/env node
/**
 * The `capybara` on the PATH. Capybara needs Node 24; where the machine's is older, this file, which runs on Node 18
 * and newer, hands over to the Node that was installed with the package.
 */
import { launch } from './launch.js';

if (Number.parseInt(process.versions.node, 10) >= 24) await import('./run.js');
else await launch(new URL('./launched.js', import.meta.url));
