/**
 * Makes what is published: `dist` (JavaScript and assets) and `oclif.manifest.json`, from `src`. What it is given is handed
 * to the compiler, such as `--noCheck` where types were checked already.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Plugin, settings } from '@oclif/core';

const root = join(import.meta.dirname, '..');

function run(program: string, args: readonly string[], env: Record<string, string> = {}): void {
  execFileSync(join(root, 'node_modules', '.bin', program), args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
}

/** The Prisma client is generated, not versioned. `generate` needs no engine: the program named here is never asked. */
function generateClient(): void {
  if (existsSync(join(root, 'src', 'store', 'generated'))) return;
  run('prisma', ['generate', '--no-hints'], {
    PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true',
    CHECKPOINT_DISABLE: '1',
  });
}

/** Everything under `src` that is not TypeScript: SQL, prompts. */
function copyAssets(): void {
  for (const entry of readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name.endsWith('.ts')) continue;
    const source = join(entry.parentPath, entry.name);
    const target = join(root, 'dist', source.slice(join(root, 'src').length));
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(source, target);
  }
}

/** What `capybara --help` reads instead of loading every command. */
async function writeManifest(): Promise<void> {
  settings.enableAutoTranspile = false;
  const plugin = new Plugin({ root, type: 'core', ignoreManifest: true, errorOnManifestCreate: true });
  await plugin.load();
  writeFileSync(join(root, 'oclif.manifest.json'), `${JSON.stringify(plugin.manifest, null, 2)}\n`);
}

rmSync(join(root, 'dist'), { recursive: true, force: true });
generateClient();
run('tsc', ['-p', 'tsconfig.build.json', ...process.argv.slice(2)]);
// Types of what others import, and of what that is made of.
run('tsc', ['-p', 'tsconfig.client.json', ...process.argv.slice(2)]);
copyAssets();
await writeManifest();
