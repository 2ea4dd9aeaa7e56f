"""What things are: facts, states, versions, verdict, plan, problem.

Pure: standard library only, no clock, no input or output, no asyncio. A function in here
gives the same answer for the same arguments, on any machine, at any time.
"""
