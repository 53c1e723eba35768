/** What settings say about repositories that sessions begin with. */
import { z } from 'zod';
import { readBeginning } from '../core/repository.ts';

/** Beginnings of URLs that `git.allow` may list. */
export const MAX_GIT_ALLOWED = 100;

export const GIT = {
  allow: {
    env: 'CAPYBARA_GIT_ALLOW',
    expected: `at most ${MAX_GIT_ALLOWED} beginnings of URLs (https, http, ssh or file), with commas between them`,
  },
  credentials: {
    env: 'CAPYBARA_GIT_CREDENTIALS',
    secret: true,
    expected: 'host=TOKEN or host/path=USER:PASSWORD, with commas between them',
  },
  sshKey: { env: 'CAPYBARA_GIT_SSH_KEY', expected: 'the absolute path of a private key' },
  /** What a repository may have, in its history and in its files: a snapshot holds the history as one file, and no larger one. */
  mib: { env: 'CAPYBARA_GIT_MIB', most: 1_024, usual: 1_024 },
  /** What all of its cloning may take. */
  seconds: { env: 'CAPYBARA_GIT_SECONDS', most: 3_600, usual: 600 },
  /** What is kept of all of them on a host, for sessions to come. */
  cacheMib: { env: 'CAPYBARA_GIT_CACHE_MIB', least: 1, most: 16 * 1024 * 1024, usual: 10_240 },
} as const;

/** `https://git.example, ssh://git@forge.example/team`. */
export const beginnings = z.preprocess(
  (raw) => (typeof raw === 'string' ? raw.split(',').map((each) => each.trim()) : raw),
  z
    .array(z.string().refine((text) => readBeginning(text) !== undefined))
    .min(1)
    .max(MAX_GIT_ALLOWED),
);

const KEY = String.raw`\s*[^=,\s/]+(/[^=,\s]+)?=[\x21-\x2b\x2d-\x7e]+\s*`;

/** `github.com=TOKEN, git.example/team=USER:PASSWORD`. What is not ASCII would be quoted by whoever puts it into a header. */
export const REPOSITORY_KEYS = new RegExp(`^${KEY}(,${KEY})*$`);
