import { type GitOptions, git, gitCall } from './git-command.ts';

/** Where git found a setting, when a confined command does not see it there. */
const OUT_OF_SIGHT = /^(global|system)$/;

/**
 * `user.name` and `user.email` as the user's own configuration has them for this directory: a confined command does not see
 * that, but its commits are the user's. Empty where there is none, where the repository says its own, and where git is missing.
 */
export async function userIdentity(
  directory: string,
  options: GitOptions = {},
): Promise<Readonly<Record<string, string>>> {
  const args = ['config', '--show-scope', '--null', '--get-regexp', '^user\\.(name|email)$'];
  // It exits with 1 where nothing is set.
  const found = await git(args, gitCall(directory, options)).catch(() => '');
  const last = new Map<string, { readonly scope: string; readonly value: string }>();
  const [...fields] = found.split('\0');
  for (let index = 0; index + 1 < fields.length; index += 2) {
    const [scope = '', pair = ''] = fields.slice(index, index + 2);
    const border = pair.indexOf('\n');
    if (border > 0) last.set(pair.slice(0, border), { scope, value: pair.slice(border + 1) });
  }
  const own = [...last].filter(([, { scope, value }]) => OUT_OF_SIGHT.test(scope) && value !== '');
  return Object.fromEntries(own.map(([key, { value }]) => [key, value]));
}
