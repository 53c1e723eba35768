import { bashTool } from './bash.ts';
import { editFileTool } from './edit-file.ts';
import { globTool } from './glob.ts';
import { grepTool } from './grep.ts';
import { listDirTool } from './list-dir.ts';
import { readFileTool } from './read-file.ts';
import type { Tool } from './tool.ts';
import { type WebTools, webTools } from './web-tools.ts';
import { writeFileTool } from './write-file.ts';

/** The tools that every agent may be given. */
export function builtinTools(web: WebTools = {}): readonly Tool[] {
  const files = [readFileTool, writeFileTool, editFileTool, listDirTool, globTool, grepTool];
  return [...files, bashTool, ...webTools(web)];
}
