# Completion of capybara for fish: capybara completion fish > ~/.config/fish/completions/capybara.fish
function __capybara_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in (capybara __complete fish $words[2..-1] "$current" 2>/dev/null)
        if test "$line" = ':files'
            __fish_complete_path "$current"
        else
            echo $line
        end
    end
end
complete -c capybara -f -a '(__capybara_complete)'
complete -c capy -f -a '(__capybara_complete)'
