/** Which grammar reads which files, and what in their trees are definitions. */

/** Where a definition's name and body are: fields of its node, unless said otherwise. */
export interface Definitions {
  /** Node types that define something with a name. */
  readonly named: readonly string[];
  /** Those among them, and others, in whose bodies further definitions are looked for; never in a function's. */
  readonly containers: readonly string[];
  /** Nodes that merely wrap one: the comment before them is its own. */
  readonly wrappers: readonly string[];
}

const SCRIPT: Definitions = {
  named: [
    ...['function_declaration', 'generator_function_declaration', 'class_declaration', 'method_definition'],
    ...['abstract_class_declaration', 'interface_declaration', 'type_alias_declaration', 'enum_declaration'],
    'variable_declarator',
  ],
  containers: [
    'class_declaration',
    'abstract_class_declaration',
    'class_body',
    'internal_module',
    'module',
    'statement_block',
  ],
  wrappers: ['export_statement', 'lexical_declaration', 'ambient_declaration'],
};

const C_LIKE: Definitions = {
  named: [
    ...['function_definition', 'struct_specifier', 'class_specifier', 'union_specifier', 'enum_specifier'],
    ...['type_definition', 'concept_definition', 'alias_declaration'],
  ],
  containers: [
    ...['struct_specifier', 'class_specifier', 'namespace_definition', 'field_declaration_list'],
    ...['declaration_list', 'linkage_specification', 'preproc_ifdef', 'preproc_if', 'preproc_else'],
  ],
  wrappers: ['template_declaration'],
};

export const DEFINITIONS = {
  javascript: SCRIPT,
  typescript: SCRIPT,
  tsx: SCRIPT,
  python: {
    named: ['function_definition', 'class_definition'],
    containers: ['class_definition', 'block', 'if_statement', 'try_statement'],
    wrappers: ['decorated_definition'],
  },
  go: {
    named: ['function_declaration', 'method_declaration', 'type_spec', 'type_alias'],
    containers: [],
    wrappers: ['type_declaration'],
  },
  rust: {
    named: [
      ...['function_item', 'struct_item', 'enum_item', 'union_item', 'trait_item', 'type_item'],
      ...['macro_definition', 'function_signature_item'],
    ],
    containers: ['impl_item', 'trait_item', 'mod_item', 'declaration_list'],
    wrappers: [],
  },
  java: {
    named: [
      ...['class_declaration', 'interface_declaration', 'enum_declaration', 'record_declaration'],
      ...['annotation_type_declaration', 'method_declaration', 'constructor_declaration'],
    ],
    containers: [
      ...['class_declaration', 'interface_declaration', 'enum_declaration', 'record_declaration'],
      ...['class_body', 'interface_body', 'enum_body', 'enum_body_declarations'],
    ],
    wrappers: [],
  },
  cpp: C_LIKE,
  'c-sharp': {
    named: [
      ...['class_declaration', 'interface_declaration', 'struct_declaration', 'record_declaration'],
      ...['enum_declaration', 'delegate_declaration', 'method_declaration', 'constructor_declaration'],
    ],
    containers: [
      ...['namespace_declaration', 'class_declaration', 'interface_declaration', 'struct_declaration'],
      ...['record_declaration', 'declaration_list'],
    ],
    wrappers: [],
  },
  ruby: {
    named: ['class', 'module', 'method', 'singleton_method'],
    containers: ['class', 'module', 'body_statement', 'singleton_class'],
    wrappers: [],
  },
  php: {
    named: [
      ...['function_definition', 'class_declaration', 'interface_declaration', 'trait_declaration'],
      ...['enum_declaration', 'method_declaration'],
    ],
    containers: [
      ...['namespace_definition', 'compound_statement', 'class_declaration', 'interface_declaration'],
      ...['trait_declaration', 'enum_declaration', 'declaration_list', 'enum_declaration_list'],
    ],
    wrappers: [],
  },
} satisfies Record<string, Definitions>;

export type Grammar = keyof typeof DEFINITIONS;

const EXTENSIONS: Readonly<Record<Grammar, string>> = {
  javascript: 'js jsx mjs cjs',
  typescript: 'ts mts cts',
  tsx: 'tsx',
  python: 'py pyi',
  go: 'go',
  rust: 'rs',
  java: 'java',
  // C is read by the grammar of C++, of which it is a part but for a few names.
  cpp: 'c h cc cpp cxx hh hpp hxx',
  'c-sharp': 'cs',
  ruby: 'rb rake',
  php: 'php',
};

const BY_EXTENSION = new Map(
  Object.entries(EXTENSIONS).flatMap(([grammar, extensions]) =>
    extensions.split(' ').map((extension) => [extension, grammar as Grammar] as const),
  ),
);

/** Undefined: no grammar reads the file. */
export function grammarOf(path: string): Grammar | undefined {
  return BY_EXTENSION.get(/[^/]\.([a-z]+)$/.exec(path)?.[1] ?? '');
}
