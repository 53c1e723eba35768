#!/bin/sh
# Stands for every hook of git in the commands of agents. The repository's own hook of the same name runs, with the same arguments
# and input, and has its say; then a commit message names its co-author, once.
#
# prepare-commit-msg comes even with --no-verify; commit-msg comes after the editor; applypatch-msg is that of `git am`; and
# post-commit mends what an editor did to the message where --no-verify left out the rest.

trailer='Co-authored-by: Capybara Vibe <agent@capybara.ai>'
written='^[[:space:]]*[Cc][Oo]-[Aa][Uu][Tt][Hh][Oo][Rr][Ee][Dd]-[Bb][Yy]: *Capybara Vibe <agent@capybara\.ai>[[:space:]]*$'
scissors=' ------------------------ >8 ------------------------$'

name=${0##*/}
here=${0%/*}
# Where it is without our own setting: core.hooksPath of the repository, or hooks in its common directory.
theirs=$(unset GIT_CONFIG_COUNT && git rev-parse --git-path hooks 2>/dev/null </dev/null)
own=$theirs/$name
if [ -z "$theirs" ] || [ "$theirs" = "$here" ] || [ ! -f "$own" ] || [ ! -x "$own" ]; then own=''; fi
# Git looks for hooks from where it runs them, a shell on the PATH.
case $own in '' | /*) ;; *) own=./$own ;; esac

# Nothing but blank lines, and comments where an editor was given them.
is_empty() {
  if [ "$GIT_EDITOR" = : ] || [ "$name" = applypatch-msg ]; then words=$(cat "$1"); else
    words=$(sed "/$scissors/,\$d" "$1" | git stripspace --strip-comments)
  fi
  [ -z "$(printf '%s\n' "$words" | LC_ALL=C sed "/$written/d" | tr -d '[:space:]')" ]
}

name_co_author() {
  if [ -z "$CAPYBARA_AMENDS" ] && is_empty "$1"; then return 0; fi
  LC_ALL=C sed "/$written/d" "$1" >"$1.capybara" && cat "$1.capybara" >"$1"
  rm -f "$1.capybara"
  # To a message whose last line has no end, git would add the trailer without the blank line.
  [ -z "$(tail -c 1 "$1")" ] || echo >>"$1"
  # Where no editor ran, a line with the sign of a comment is part of the message.
  comment=$(git config core.commentChar || echo '#')
  if [ "$GIT_EDITOR" = : ] || [ "$name" = applypatch-msg ]; then comment=$(printf '\001'); fi
  git -c core.commentChar="$comment" interpret-trailers --in-place --no-divider --where end \
    --if-exists addIfDifferent --if-missing add --trailer "$trailer" "$1"
}

case $name in
prepare-commit-msg | commit-msg | applypatch-msg)
  if [ -n "$own" ]; then "$own" "$@" || exit; fi
  name_co_author "$1"
  ;;
post-commit)
  [ -z "$CAPYBARA_AMENDS" ] || exit 0
  if ! git log -1 --format=%B | LC_ALL=C grep -q "$written"; then
    (
      unset GIT_INDEX_FILE
      CAPYBARA_AMENDS=1 git commit --quiet --amend --only --no-verify --no-edit --allow-empty --allow-empty-message
    )
  fi
  [ -z "$own" ] || exec "$own" "$@"
  ;;
*)
  [ -z "$own" ] || exec "$own" "$@"
  ;;
esac
