#compdef capybara capy
# Completion of capybara for zsh. In ~/.zshrc, after compinit: source <(capybara completion zsh)
_capybara() {
  local line value
  local -a found
  for line in "${(@f)$(capybara __complete zsh "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    if [[ $line == :files ]]; then
      _files
      return
    fi
    [[ -n $line ]] || continue
    value=${line%%$'\t'*}
    found+=("${value//:/\\:}${${line#$value}/$'\t'/:}")
  done
  (( $#found )) && _describe -V capybara found
}
if [[ $funcstack[1] == _capybara ]]; then
  _capybara "$@"
else
  compdef _capybara capybara capy
fi
