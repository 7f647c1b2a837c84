module example.test/lib

go latest
