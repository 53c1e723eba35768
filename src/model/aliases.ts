import { UserError } from '../core/errors.ts';

export type Aliases = Readonly<Record<string, string>>;

/** What a name stands for in the end, through as many aliases as there are; itself where it is none. Throws `alias_cycle`. */
export function followAliases(aliases: Aliases, name: string): string {
  const way = [name];
  for (let next = of(aliases, name); next !== undefined; next = of(aliases, next)) {
    if (way.includes(next)) throw cycle([...way, next]);
    way.push(next);
  }
  return way.at(-1) ?? name;
}

/** Does what may refuse `target`, and says in its refusal by which alias it was asked for. */
export function throughAlias<Result>(alias: string, target: string, act: () => Result): Result {
  try {
    return act();
  } catch (error) {
    if (alias === target || !(error instanceof UserError)) throw error;
    throw new UserError(
      error.code,
      `The alias ${alias} stands for ${target}. ${error.message}`,
      error.exitCode,
    );
  }
}

function of(aliases: Aliases, name: string): string | undefined {
  return Object.hasOwn(aliases, name) ? aliases[name]?.trim() : undefined;
}

function cycle(way: readonly string[]): UserError {
  const message = `The alias ${way[0]} names no model, it leads in a circle (${way.join(' → ')}): let one of them stand for provider/model.`;
  return new UserError('alias_cycle', message);
}
