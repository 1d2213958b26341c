"""How the models do: what was shown, what came back beside what was predicted, alarms, and how groups of subjects fare.

It is counted while outcomes pass (`watch`), as whole numbers, so that an outcome taken back leaves no trace; rates, intervals and texts are worked
out when somebody asks (`report`). Nothing here changes what is decided.
"""
