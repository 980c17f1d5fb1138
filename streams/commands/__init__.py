"""A command's way: it is written, its id is looked for, it is placed, and the meter's answers become a verdict.

CLI and API only carry. Nothing is judged here: what is wrong with a command is the meter's to say, with a code.
"""
