/** Images from the clipboard: kept as files while the chat lives, and named in the message by a mark. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { commandEnvironment } from '../../config.ts';
import { UserError } from '../../core/errors.ts';
import { IMAGE_LIMITS } from '../../core/images.ts';

/** They write the clipboard's image to their output, each on systems of its own; the first that is there is asked. */
const PROGRAMS = [
  ['wl-paste', '--no-newline', '--type', 'image/png'],
  ['xclip', '-selection', 'clipboard', '-target', 'image/png', '-out'],
  ['pngpaste', '-'],
] as const;
/** A desktop that does not answer is not waited for. */
const TIMEOUT_MS = 5_000;
const PNG = Buffer.from('89504e470d0a1a0a', 'hex');

const MARK = /\[image (pasted-\d+\.png)\]/g;

export class PastedImages {
  #directory: string | undefined;
  #count = 0;

  /** Returns the mark that stands for it in a message. Throws `UserError` where there is no image, or nothing to read it with. */
  async paste(): Promise<string> {
    const image = await clipboardImage();
    this.#directory ??= mkdtempSync(join(tmpdir(), 'capybara-pasted-'));
    this.#count += 1;
    const name = `pasted-${this.#count}.png`;
    writeFileSync(join(this.#directory, name), image, { mode: 0o600 });
    return `[image ${name}]`;
  }

  /** The files that a text has marks for. */
  namedIn(text: string): string[] {
    const directory = this.#directory;
    if (directory === undefined) return [];
    const numbers = Array.from({ length: this.#count }, (_, index) => `pasted-${index + 1}.png`);
    const named = [...text.matchAll(MARK)].map(([, name = '']) => name);
    return [...new Set(named)].filter((name) => numbers.includes(name)).map((name) => join(directory, name));
  }

  close(): void {
    if (this.#directory !== undefined) rmSync(this.#directory, { recursive: true, force: true });
    this.#directory = undefined;
  }
}

async function clipboardImage(): Promise<Buffer> {
  let isThere = false;
  for (const [program, ...args] of PROGRAMS) {
    const found = await output(program, args);
    if (found === 'missing') continue;
    isThere = true;
    // One may be there for another desktop than this.
    if (found !== 'nothing' && found.subarray(0, PNG.length).equals(PNG)) return found;
  }
  throw new UserError('no_image', isThere ? NO_IMAGE : NO_PROGRAM);
}

const NO_IMAGE =
  'The clipboard has no image: copy one first, or paste the path of a file. Text is pasted by your terminal.';
const NO_PROGRAM =
  'An image is read from the clipboard by wl-paste (Wayland), xclip (X11) or pngpaste (macOS), and none of them is here: install one, or paste the path of a file.';

function output(program: string, args: readonly string[]): Promise<Buffer | 'missing' | 'nothing'> {
  const options = {
    ...({ encoding: 'buffer', timeout: TIMEOUT_MS, maxBuffer: IMAGE_LIMITS.bytes + 1 } as const),
    env: commandEnvironment(),
  };
  return new Promise((resolve, reject) => {
    execFile(program, [...args], options, (error, stdout) => {
      const code = (error as NodeJS.ErrnoException | null)?.code;
      if (code === 'ENOENT') resolve('missing');
      else if (code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') reject(tooLarge());
      else resolve(error === null && stdout.length > 0 ? stdout : 'nothing');
    });
  });
}

function tooLarge(): UserError {
  const most = (IMAGE_LIMITS.bytes / 1024 / 1024).toFixed(2);
  return new UserError(
    'attachment_invalid',
    `The image on the clipboard is larger than ${most} MiB: make it smaller.`,
  );
}
