"""The engine under all studies: experiments, trainers, the folder of a run, records, processes."""
