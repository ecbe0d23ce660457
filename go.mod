module poold

go 1.26.0
