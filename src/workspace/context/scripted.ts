/** Composer, Bundler, Mix, Dart, Make and just. */
import { allOf, type Found, keysOf, type Manifest, recordOf, run, textIn, without } from './manifest.ts';

export function composerJson({ text }: Manifest): Found {
  const json = recordOf(JSON.parse(text));
  const [required, development] = [keysOf(json.require), keysOf(json['require-dev'])];
  const scripts = keysOf(json.scripts).map((name) => `composer run ${name}`);
  const hasUnit = development.includes('phpunit/phpunit');
  return {
    kind: 'PHP, Composer',
    name: textIn(json.name),
    dependencies: without(required, ['php']),
    development,
    commands: run('composer install', ...(hasUnit ? ['vendor/bin/phpunit'] : []), ...scripts),
  };
}

export function gemfile({ text, beside }: Manifest): Found {
  const gems = allOf(text, /^[ \t]*gem[ \t]*\(?\s*["']([\w.-]{1,100})/gm);
  const isRails = gems.includes('rails');
  const hasSpecs = gems.some((gem) => gem.startsWith('rspec'));
  const tests = hasSpecs ? ['bundle exec rspec'] : isRails ? ['bin/rails test'] : [];
  return {
    kind: `Ruby, Bundler${isRails ? ', Rails' : ''}`,
    dependencies: gems,
    commands: run(
      'bundle install',
      ...tests,
      ...(beside.has('Rakefile') ? ['bundle exec rake'] : []),
      ...(gems.includes('rubocop') ? ['bundle exec rubocop'] : []),
    ),
  };
}

export function mixExs({ text }: Manifest): Found {
  const dependencies = allOf(text, /\{[ \t]*:(\w{1,100}),[ \t]*["'~]/g);
  return { kind: 'Elixir, Mix', dependencies, commands: run('mix deps.get', 'mix compile', 'mix test') };
}

export function pubspec({ text }: Manifest): Found {
  const program = /^[ \t]+sdk:[ \t]*flutter/m.test(text) ? 'flutter' : 'dart';
  const name = /^name:\s*(\w{1,100})/m.exec(text)?.[1];
  return {
    kind: program === 'dart' ? 'Dart' : 'Flutter',
    name,
    commands: run(`${program} pub get`, `${program} test`),
  };
}

/** Targets that a person calls: not files, patterns or Make's own. */
export function makefile({ text }: Manifest): Found {
  const targets = allOf(text, /^([A-Za-z][\w-]{0,60})[ \t]*:(?![:=])/gm);
  return { kind: 'Make', commands: run(...targets.map((target) => `make ${target}`)) };
}

export function justfile({ text }: Manifest): Found {
  const recipes = allOf(text, /^@?([A-Za-z][\w-]{0,60})(?:[ \t][^:=\n]{0,200})?:(?!=)/gm);
  return { kind: 'just', commands: run(...recipes.map((recipe) => `just ${recipe}`)) };
}
