import { parse } from 'smol-toml';
import {
  allOf,
  type Found,
  keysOf,
  type Manifest,
  recordOf,
  run,
  textIn,
  textsOf,
  without,
} from './manifest.ts';

export function pyproject({ text, around }: Manifest): Found {
  const toml = recordOf(parse(text));
  const project = recordOf(toml.project);
  const tool = recordOf(toml.tool);
  const poetry = recordOf(tool.poetry);
  const dependencies = [...textsOf(project.dependencies).map(named), ...keysOf(poetry.dependencies)];
  const optional = recordOf(project['optional-dependencies']);
  const groups = [...Object.values(optional), ...Object.values(recordOf(toml['dependency-groups']))];
  const development = [
    ...groups.flatMap(textsOf).map(named),
    ...keysOf(poetry['dev-dependencies']),
    ...Object.values(recordOf(poetry.group)).flatMap((group) => keysOf(recordOf(group).dependencies)),
  ];
  const { manager, install, prefix } = managerOf(tool, around);
  const uses = (name: string) => name in tool || [...dependencies, ...development].includes(name);
  const hasTests = uses('pytest') || around.has('pytest.ini') || around.has('conftest.py');
  return {
    kind: ['Python', ...(manager === undefined ? [] : [manager])].join(', '),
    name: textIn(project.name) ?? textIn(poetry.name),
    dependencies: without(dependencies, ['python']),
    development,
    commands: run(
      install,
      ...(hasTests ? [`${prefix}pytest`] : []),
      ...(uses('tox') && !around.has('tox.ini') ? ['tox'] : []),
      ...(uses('ruff') ? [`${prefix}ruff check`] : []),
      ...(uses('mypy') ? [`${prefix}mypy .`] : []),
    ),
  };
}

interface Manager {
  readonly manager?: string;
  readonly install: string;
  /** Before what runs in its environment. */
  readonly prefix: string;
}

function managerOf(tool: Readonly<Record<string, unknown>>, around: ReadonlySet<string>): Manager {
  if (around.has('uv.lock') || 'uv' in tool) return { manager: 'uv', install: 'uv sync', prefix: 'uv run ' };
  if (around.has('poetry.lock') || 'poetry' in tool)
    return { manager: 'poetry', install: 'poetry install', prefix: 'poetry run ' };
  if (around.has('pdm.lock') || 'pdm' in tool)
    return { manager: 'pdm', install: 'pdm install', prefix: 'pdm run ' };
  if ('hatch' in tool) return { manager: 'hatch', install: 'pip install -e .', prefix: 'hatch run ' };
  return { install: 'pip install -e .', prefix: '' };
}

/** `requests[socks]>=2; python_version < "3"` → `requests`. */
function named(requirement: string): string {
  return /^\s*[A-Za-z0-9._-]*/.exec(requirement)?.[0].trim() ?? '';
}

export function requirements({ text, name, around }: Manifest): Found {
  const lines = text.split('\n').filter((line) => /^[ \t]*[A-Za-z0-9]/.test(line));
  const dependencies = lines.map(named);
  const hasTests = dependencies.includes('pytest') || around.has('pytest.ini') || around.has('conftest.py');
  return {
    kind: 'Python, pip',
    dependencies,
    commands: run(`pip install -r ${name}`, ...(hasTests ? ['pytest'] : [])),
  };
}

export function setupPy({ text }: Manifest): Found {
  return {
    kind: 'Python, setuptools',
    commands: run('pip install -e .', ...(/\bpytest\b/.test(text) ? ['pytest'] : [])),
  };
}

export function pipfile({ text }: Manifest): Found {
  const toml = recordOf(parse(text));
  const [dependencies, development] = [keysOf(toml.packages), keysOf(toml['dev-packages'])];
  const hasTests = [...dependencies, ...development].includes('pytest');
  const commands = run('pipenv install --dev', ...(hasTests ? ['pipenv run pytest'] : []));
  return { kind: 'Python, pipenv', dependencies, development, commands };
}

export function toxIni({ text }: Manifest): Found {
  const environments = allOf(text, /^\[testenv:([\w.-]{1,60})\]/gm).map((name) => `tox -e ${name}`);
  return { kind: 'tox', commands: run('tox', ...environments) };
}
