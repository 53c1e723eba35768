import './compile-cache.js';
import { fileURLToPath } from 'node:url';

const root = new URL('..', import.meta.url);

if (process.argv[2] === '__complete') await complete();
else await run();

/** What a shell asks at each Tab: oclif alone would take most of the time. */
async function complete() {
  const answer = await import(new URL('dist/cli/completion/answer.js', root).href);
  const lines = await answer.complete(root, process.argv.slice(3));
  // What was asked and came too late is not waited for.
  process.stdout.write(lines, () => process.exit());
}

async function run() {
  const { execute } = await import('@oclif/core');
  await import('./outputs.js');
  // No plugins of the user's: oclif would look for them in the directory that CAPYBARA_DATA_DIR names.
  // Not awaited: where a reader closes the pipe early (`| head`), oclif waits for ever to write to it.
  void execute({ loadOptions: { root: fileURLToPath(root), userPlugins: false } });
}
