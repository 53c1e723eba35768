import type { EgressHost } from '../core/egress.ts';
import { applyPatchTool } from './apply-patch.ts';
import { backgroundTools } from './background-tools.ts';
import { bashTool } from './bash.ts';
import { bashOnlineTool } from './bash-online.ts';
import { delegateTaskTool, mergeChildTool } from './delegate-task.ts';
import { editFileTool } from './edit-file.ts';
import { globTool } from './glob.ts';
import { grepTool } from './grep.ts';
import { listDirTool } from './list-dir.ts';
import { readFileTool } from './read-file.ts';
import { readOutputTool } from './read-output.ts';
import { repoMapTool } from './repo-map.ts';
import { searchReplaceTool } from './search-replace.ts';
import { todoTool } from './todo.ts';
import type { Tool } from './tool.ts';
import { vcsApplyTool } from './vcs-apply.ts';
import { vcsBranchTool } from './vcs-branch.ts';
import { vcsCommitTool } from './vcs-commit.ts';
import { vcsDiffTool } from './vcs-diff.ts';
import { vcsLogTool } from './vcs-log.ts';
import { vcsStatusTool } from './vcs-status.ts';
import { vcsSubmitTool } from './vcs-submit.ts';
import { type WebTools, webTools } from './web-tools.ts';
import { writeFileTool } from './write-file.ts';

export interface BuiltinTools extends WebTools {
  /** `hosts`: that commands may reach; none where left out. */
  readonly commands?: { readonly hosts?: readonly EgressHost[] | undefined };
}

/** The tools that every agent may be given. */
export function builtinTools(settings: BuiltinTools = {}): readonly Tool[] {
  const { hosts = [] } = settings.commands ?? {};
  return [
    readFileTool,
    writeFileTool,
    editFileTool,
    searchReplaceTool,
    applyPatchTool,
    listDirTool,
    globTool,
    grepTool,
    bashTool,
    ...backgroundTools,
    ...(hosts.length > 0 ? [bashOnlineTool(hosts)] : []),
    readOutputTool,
    repoMapTool,
    todoTool,
    vcsStatusTool,
    vcsDiffTool,
    vcsLogTool,
    vcsBranchTool,
    vcsCommitTool,
    vcsApplyTool,
    vcsSubmitTool(hosts),
    ...webTools(settings),
    delegateTaskTool,
    mergeChildTool,
  ];
}
