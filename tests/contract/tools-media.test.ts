import { truncate } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { kindOfFile } from '../../src/workspace/file-kind.ts';
import { PDF_LIMITS, type PdfLimits, readPdf } from '../../src/workspace/pdf-text.ts';
import { pdfBomb, pdfOf } from '../support/pdf.ts';
import { useProject } from './tools-harness.ts';

const { put, call, path } = useProject();

const read = (args: Record<string, unknown> = {}, options = {}) =>
  call('read_file', { path: 'f', ...args }, options);

describe('read_file of a PDF', () => {
  it('gives its text, page by page', async () => {
    await put('f', pdfOf(['Hello (world)\nsecond line', '', 'Third']));
    expect(await read()).toEqual({
      text: '--- page 1 ---\nHello (world)\nsecond line\n--- page 2 ---\n(no text: perhaps an image)\n--- page 3 ---\nThird\n(PDF, pages 1 to 3 of 3)',
    });
  });

  it('gives the pages that are asked for, and as many as are allowed at once', async () => {
    await put('f', pdfOf(Array.from({ length: PDF_LIMITS.pages + 1 }, (_, page) => `p${page + 1}`)));
    expect((await read({ offset: 7, limit: 2 })).text).toBe(
      '--- page 7 ---\np7\n--- page 8 ---\np8\n(PDF, pages 7 to 8 of 51; go on with offset 9)',
    );
    expect((await read()).text).toMatch(/\n\(PDF, pages 1 to 50 of 51; go on with offset 51\)$/);
    expect((await read({ offset: 51 })).text).toBe('--- page 51 ---\np51\n(PDF, pages 51 to 51 of 51)');
    expect(await read({ offset: 52 })).toEqual({
      text: "Error: FileError: 'f' is a PDF of 51 pages; there is no page 52.",
      isError: true,
    });
  });

  it.each([
    ['is damaged', Buffer.from('%PDF-1.4\nnothing of the kind')],
    ['is cut', pdfOf(['x']).subarray(0, 200)],
  ])('refuses one that %s', async (_, content) => {
    await put('f', content);
    expect(await read()).toMatchObject({
      isError: true,
      text: expect.stringMatching(/^Error: FileError: 'f' is a PDF whose text cannot be read: \w+/),
    });
  });

  it('refuses one over the limit, and does not read it', async () => {
    await put('f', pdfOf(['x']));
    await truncate(path('f'), PDF_LIMITS.bytes + 1);
    expect((await read()).text).toContain(`it has ${PDF_LIMITS.bytes + 1} bytes, more than the`);
  });

  const ask = (limits: Partial<PdfLimits>, signal = new AbortController().signal) =>
    readPdf(
      { path: path('f'), shown: 'f' },
      { first: 1, count: 1 },
      { signal, limits: { ...PDF_LIMITS, ...limits } },
    );

  it('ends one that takes too long, or too much memory, and goes on', async () => {
    await put('f', pdfBomb(256 * 1024 * 1024));
    await expect(ask({ ms: 20 })).rejects.toThrow('the program that reads it took more than 0.02 s');
    await expect(ask({ dataMib: 750 })).rejects.toThrow('takes more memory than is allowed');
    await put('f', pdfOf(['x']));
    expect(await ask({ dataMib: 750 })).toEqual({ total: 1, pages: ['x'] });
  });

  it('stops on an abort, and cuts what is too long', async () => {
    await put('f', pdfOf(['0123456789', 'x']));
    await expect(ask({}, AbortSignal.abort())).rejects.toThrow('the program that reads it was stopped');
    expect(await ask({ chars: 4 })).toEqual({ total: 2, pages: ['0123'] });
  });
});

describe('read_file of an image', () => {
  const bytes = (latin: string) => Buffer.from(latin, 'latin1');
  const images: [string, Buffer, string][] = [
    [
      'PNG',
      bytes('\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x06'),
      'PNG, of 640 x 480 pixels',
    ],
    ['GIF', bytes('GIF89a\x0a\0\x14\0\x80'), 'GIF, of 10 x 20 pixels'],
    [
      'JPEG',
      bytes(`\xff\xd8\xff\xe0\0\x06JFIF\xff\xc4\0\x04ab\xff\xff\xc2\0\x0b\x08\x01\xe0\x02\x80\x03`),
      'JPEG, of 640 x 480 pixels',
    ],
    [
      'lossy WebP',
      bytes('RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x80\x42\xe0\x01'),
      'WebP, of 640 x 480 pixels',
    ],
    ['lossless WebP', bytes('RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\x7f\xc2\x77\0'), 'WebP, of 640 x 480 pixels'],
    [
      'extended WebP',
      bytes('RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0\x7f\x02\0\xdf\x01\0'),
      'WebP, of 640 x 480 pixels',
    ],
    ['a cut PNG', bytes('\x89PNG\r\n\x1a\n'), 'PNG, whose size cannot be told'],
    ['a JPEG of nothing', bytes('\xff\xd8\xff\xe0\0\0'), 'JPEG, whose size cannot be told'],
  ];
  it.each(images)('says format and size of %s', async (_, content, says) => {
    await put('f', content);
    expect(await read()).toEqual({
      text: expect.stringContaining(`(f is an image: ${says}, ${content.length} bytes. What it shows`),
    });
  });

  it('finds the size of a JPEG behind a long preview', async () => {
    const preview = Buffer.concat([bytes('\xff\xe1\xff\xff'), Buffer.alloc(0xffff - 2)]);
    const frame = bytes('\xff\xc0\0\x0b\x08\0\x02\0\x03\x03');
    await put('f', Buffer.concat([bytes('\xff\xd8'), preview, preview, frame]));
    expect((await read()).text).toContain('JPEG, of 3 x 2 pixels');
  });
});

describe('read_file of other bytes', () => {
  it.each([
    ['a ZIP archive', Buffer.from('PK\x03\x04\0\0')],
    ['an ELF program', Buffer.from('\x7fELF\x02\x01\x01\0')],
    ['gzip data', Buffer.from([0x1f, 0x8b, 8, 0, 0])],
    ['an SQLite database', Buffer.from('SQLite format 3\0')],
    ['UTF-16 text', Buffer.from('\ufeffabc', 'utf16le')],
    ['a tar archive', Buffer.concat([Buffer.alloc(257), Buffer.from('ustar\0')])],
  ])('says that it is %s', async (what, content) => {
    await put('f', content);
    expect(await read()).toMatchObject({
      isError: true,
      text: expect.stringContaining(`'f' is not a text file that can be read or edited: it is ${what}`),
    });
  });

  it('takes a text for a text, whatever it begins with', async () => {
    for (const text of ['BMW is a car', 'MZ', 'ID3 tags', 'PKX']) {
      await put('f', text);
      expect((await read()).text).toContain(`1\t${text}`);
    }
    expect(kindOfFile(Buffer.alloc(0))).toBeUndefined();
  });
});
