import './compile-cache.js';
import { fileURLToPath } from 'node:url';

const { execute } = await import('@oclif/core');
await import('./outputs.js');

// No plugins of the user's: oclif would look for them in the directory that CAPYBARA_DATA_DIR names.
const root = fileURLToPath(new URL('..', import.meta.url));
// Not awaited: where a reader closes the pipe early (`| head`), oclif waits for ever to write to it.
void execute({ loadOptions: { root, userPlugins: false } });
