/** Cargo, Go, Maven, Gradle, CMake, .NET, Swift. */
import { parse } from 'smol-toml';
import { allOf, type Found, keysOf, type Manifest, recordOf, run, textIn } from './manifest.ts';

export function cargoToml({ text }: Manifest): Found {
  const toml = recordOf(parse(text));
  const members = 'workspace' in toml ? ', workspace' : '';
  return {
    kind: `Rust${members}, cargo`,
    name: textIn(recordOf(toml.package).name),
    dependencies: [...keysOf(toml.dependencies), ...keysOf(recordOf(toml.workspace).dependencies)],
    development: keysOf(toml['dev-dependencies']),
    commands: run('cargo build', 'cargo test', 'cargo clippy', 'cargo fmt'),
  };
}

export function goMod({ text }: Manifest): Found {
  const direct = text.split('\n').filter((line) => !line.includes('// indirect'));
  const dependencies = allOf(direct.join('\n'), /^(?:require[ \t]+|[ \t]+)([\w.~/-]{1,200})[ \t]+v\d/gm);
  return {
    kind: 'Go',
    name: /^module\s+(\S{1,200})/m.exec(text)?.[1],
    dependencies,
    commands: run('go build ./...', 'go test ./...', 'go vet ./...'),
  };
}

export function pomXml({ text, around }: Manifest): Found {
  const maven = around.has('mvnw') ? './mvnw' : 'mvn';
  // What stands before its own is its parent's.
  const own = text.slice(Math.max(0, text.indexOf('</parent>')));
  const dependencies = allOf(text, /<dependency>[\s\S]{0,400}?<artifactId>([^<]{1,100})<\/artifactId>/g);
  return {
    kind: 'Java, Maven',
    name: /<artifactId>([^<]{1,100})<\/artifactId>/.exec(own)?.[1],
    dependencies,
    commands: run(`${maven} compile`, `${maven} test`, `${maven} package`),
  };
}

export function gradle({ text, around, name }: Manifest): Found {
  const program = around.has('gradlew') ? './gradlew' : 'gradle';
  const isKotlin = /kotlin\(|org\.jetbrains\.kotlin/.test(text);
  const used = (configurations: string) =>
    allOf(
      text,
      new RegExp(`^[ \\t]*(?:${configurations})\\s*\\(?\\s*["']([\\w.-]{1,100}:[\\w.-]{1,100})`, 'gm'),
    );
  return {
    kind: `${isKotlin ? 'Kotlin' : 'Java'}, Gradle${name.endsWith('.kts') ? ' (Kotlin DSL)' : ''}`,
    dependencies: used('api|implementation|compileOnly|runtimeOnly'),
    development: used('testImplementation|testRuntimeOnly|annotationProcessor'),
    commands: run(`${program} build`, `${program} test`, `${program} check`),
  };
}

export function cmake({ text }: Manifest): Found | undefined {
  // One of a directory below is a part of another.
  if (!/^[ \t]*project\s*\(/im.test(text)) return undefined;
  const hasTests = /^[ \t]*(enable_testing|include\s*\(\s*ctest)/im.test(text);
  return {
    kind: 'C or C++, CMake',
    name: /^[ \t]*project\s*\(\s*"?([\w.-]{1,100})/im.exec(text)?.[1],
    dependencies: allOf(text, /^[ \t]*find_package\s*\(\s*([\w.-]{1,100})/gim),
    commands: run(
      'cmake -S . -B build',
      'cmake --build build',
      ...(hasTests ? ['ctest --test-dir build'] : []),
    ),
  };
}

export function meson({ text }: Manifest): Found | undefined {
  const name = /^[ \t]*project\s*\(\s*'([^']{1,100})'/m.exec(text)?.[1];
  if (name === undefined) return undefined;
  const dependencies = allOf(text, /\bdependency\s*\(\s*'([^']{1,100})'/g);
  return {
    kind: 'Meson',
    name,
    dependencies,
    commands: run('meson setup build', 'meson compile -C build', 'meson test -C build'),
  };
}

export function dotnet({ name, text }: Manifest): Found {
  return {
    kind: '.NET',
    name,
    dependencies: allOf(text, /<PackageReference[ \t]+Include="([^"]{1,100})"/g),
    commands: run('dotnet restore', 'dotnet build', 'dotnet test'),
  };
}

export function swiftPackage({ text }: Manifest): Found {
  const name = /name:\s*"([^"]{1,100})"/.exec(text)?.[1];
  const dependencies = allOf(text, /\.package\([^)]{0,200}?url:\s*"([^"]{1,200})"/g);
  return { kind: 'Swift', name, dependencies, commands: run('swift build', 'swift test') };
}
