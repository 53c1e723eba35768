import { truncate } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IMAGE_LIMITS } from '../../src/core/images.ts';
import { kindOfFile } from '../../src/workspace/file-kind.ts';
import { PDF_LIMITS, type PdfLimits, readPdf } from '../../src/workspace/pdf-text.ts';
import { chunk, gifOf, jpegOf, pngOf, WEBP } from '../support/images.ts';
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
      { root: path('.'), path: path('f'), shown: 'f' },
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
  const shown = (name: string, mediaType: string, content: Buffer, [width, height]: [number, number]) => ({
    text: `(${name} is an image: ${FORMATS[mediaType]}, of ${width} x ${height} pixels, ${content.length} bytes.)`,
    images: [{ name, mediaType, width, height, bytes: content }],
  });
  const FORMATS: Readonly<Record<string, string>> = {
    'image/png': 'PNG',
    'image/jpeg': 'JPEG',
    'image/gif': 'GIF',
    'image/webp': 'WebP',
  };

  it.each<[string, string, Buffer, [number, number]]>([
    ['PNG', 'image/png', pngOf({ width: 640, height: 480 }), [640, 480]],
    ['JPEG', 'image/jpeg', jpegOf(), [8, 8]],
    ['progressive JPEG', 'image/jpeg', jpegOf(0xc2), [8, 8]],
    ['GIF', 'image/gif', gifOf(), [1, 1]],
    ['lossy WebP', 'image/webp', WEBP.lossy, [1, 1]],
    ['lossless WebP', 'image/webp', WEBP.lossless, [1, 1]],
    ['extended WebP', 'image/webp', WEBP.extended, [1, 1]],
    ['a JPEG with something behind it', 'image/jpeg', Buffer.concat([jpegOf(), Buffer.alloc(9)]), [8, 8]],
  ])('gives %s, by its content', async (_, mediaType, content, size) => {
    await put('f', content);
    expect(await read()).toEqual(shown('f', mediaType, content, size));
  });

  it('calls it as it was asked for', async () => {
    await put('shots/a b.txt', pngOf());
    expect(await read({ path: 'shots/a b.txt' })).toEqual(
      shown('shots/a b.txt', 'image/png', pngOf(), [2, 1]),
    );
  });

  const damaged = (at: number) => {
    const bytes = pngOf();
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    return bytes;
  };
  const cut = (bytes: Buffer, off = 1) => bytes.subarray(0, bytes.length - off);
  const latin = (text: string) => Buffer.from(text, 'latin1');
  const noPixels = Buffer.concat([pngOf().subarray(0, 33), chunk('IEND')]);
  const animatedGif = 'it is animated. Make a PNG of one frame with a command, and read that.)';

  it.each([
    ['a PNG with a wrong byte', damaged(50), 'it is damaged: the checksum of its chunk "IDAT" is wrong.'],
    ['a PNG with a wrong size', damaged(19), 'it is damaged: the checksum of its chunk "IHDR" is wrong.'],
    ['a PNG of no rows', pngOf({ height: 0 }), 'it is damaged: it tells no size.'],
    ['a cut PNG', cut(pngOf()), 'it ends too early.'],
    ['a PNG of nothing', latin('\x89PNG\r\n\x1a\n'), 'it ends too early.'],
    ['a PNG without pixels', noPixels, 'it has no pixels.'],
    [
      'a PNG without a header',
      Buffer.concat([pngOf().subarray(0, 8), chunk('IEND')]),
      'it is damaged: it does not begin',
    ],
    ['a cut JPEG', cut(jpegOf(), 2), 'it ends too early.'],
    ['a JPEG of its beginning', jpegOf().subarray(0, 40), 'it ends too early.'],
    ['a lossless JPEG', jpegOf(0xc3), 'it is of a kind of JPEG that is not for the web.'],
    ['a JPEG of nothing', latin('\xff\xd8\xff\xe0\0\0'), 'it is damaged: a segment does not begin'],
    ['a cut GIF', cut(gifOf()), 'it ends too early.'],
    ['a GIF without pixels', gifOf(0), 'it has no pixels.'],
    [
      'a GIF with rubbish in it',
      Buffer.concat([cut(gifOf()), latin('x')]),
      'it is damaged: a block does not',
    ],
    ['an animated GIF', gifOf(2), animatedGif],
    ['a cut WebP', cut(WEBP.lossy), 'it ends too early.'],
    ['a WebP of nothing', latin('RIFF\x04\0\0\0WEBP'), 'it has no pixels.'],
    ['an animated WebP', WEBP.animated, animatedGif],
  ])('tells of %s in words, and shows nothing', async (_, content, says) => {
    await put('f', content);
    const outcome = await read();
    expect(outcome).toEqual({ text: expect.stringMatching(/^\(f is an image: .*\.\)$/) });
    expect(outcome.text).toContain(`It is not shown: ${says}`);
  });

  it('gives one with as many bytes as models take, and tells of one with more', async () => {
    const most = IMAGE_LIMITS.bytes;
    expect(Math.ceil(most / 3) * 4).toBe(5 * 1024 * 1024);
    await put('f', pngOf({ bytes: most }));
    expect(await read()).toMatchObject({ images: [{ width: 2, height: 1 }] });
    await put('f', pngOf({ bytes: most + 1 }));
    expect(await read()).toEqual({
      text:
        `(f is an image: PNG, of 2 x 1 pixels, ${most + 1} bytes. It is not shown: models take at most ${most} bytes. ` +
        'Make a smaller copy with a command, and read that.)',
    });
    await truncate(path('f'), 10 * 1024 ** 3);
    expect((await read()).text).toContain(`of 2 x 1 pixels, ${10 * 1024 ** 3} bytes. It is not shown:`);
  });

  it('gives one with as many pixels as models take, and tells of one with more', async () => {
    const { edge } = IMAGE_LIMITS;
    for (const size of [{ width: edge }, { height: edge }]) {
      await put('f', pngOf(size));
      expect(await read()).toMatchObject({ images: [size] });
    }
    for (const size of [{ width: edge + 1 }, { height: edge + 1 }]) {
      await put('f', pngOf(size));
      expect(await read()).toEqual({
        text: expect.stringContaining(
          `It is not shown: models take at most ${edge} pixels each way. Make a smaller copy`,
        ),
      });
    }
  });

  it('finds the size of a JPEG behind a long preview', async () => {
    const preview = Buffer.concat([latin('\xff\xe1\xff\xff'), Buffer.alloc(0xffff - 2)]);
    await put('f', Buffer.concat([jpegOf().subarray(0, 2), preview, preview, jpegOf().subarray(2)]));
    expect(await read()).toMatchObject({ images: [{ width: 8, height: 8 }] });
  });

  it('tells of whatever bytes stand behind its first ones', async () => {
    const starts = [pngOf(), jpegOf(), gifOf(), WEBP.lossy, WEBP.extended];
    const any = fc.tuple(fc.constantFrom(...starts), fc.nat(60), fc.uint8Array({ maxLength: 80 }));
    await fc.assert(
      fc.asyncProperty(any, async ([start, length, rest]) => {
        await put('f', Buffer.concat([start.subarray(0, 12 + length), rest]));
        expect((await read()).text).toMatch(/^\(f is an image: /);
      }),
      { numRuns: 500 },
    );
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
